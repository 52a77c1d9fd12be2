package redis

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/streamerson/streamerson/transport"
)

// Every key begins with keyPrefix, and has its stream's or driver's name as hash tag: in a Cluster all keys of one stream
// are in one slot, and so are all private lanes of one driver.
const (
	keyPrefix  = "streamerson:"
	lanePrefix = "streamerson:lane:{"
	sharedTag  = "streamerson:lane:{~"
)

// streamKey is the Redis stream that holds a request stream.
func streamKey(stream string) string { return keyPrefix + "{" + stream + "}" }

// presenceKey is a sorted set: the live consumers of one stream and group, scored by when their sign of life runs out.
func presenceKey(stream, group string) string { return keyPrefix + "{" + stream + "}:live:" + group }

// sharedLaneKey is the Redis stream of a shared lane.
func sharedLaneKey(name string) string { return sharedTag + name + "}" }

// laneAddress makes a private lane's address, which is its key as well. The cap is part of it, so that a sender, who is
// another process, trims the lane as its owner wants.
func laneAddress(instance, name string, serial int, maxLen int64) string {
	return lanePrefix + instance + "}:" + name + "." + strconv.Itoa(serial) + "#" + strconv.FormatInt(maxLen, 10)
}

// parseLane turns an address into the lane's key and cap. ok is false for an address that no driver of this kind gave
// out: replies to it could write into any key of the database.
func parseLane(addr string) (key string, maxLen int64, ok bool) {
	if name, shared := strings.CutPrefix(addr, "~"); shared {
		if transport.CheckName(name) != nil {
			return "", 0, false
		}
		return sharedLaneKey(name), transport.DefaultLaneLen, true
	}
	rest, ok := strings.CutPrefix(addr, lanePrefix)
	if !ok {
		return "", 0, false
	}
	// 16 hexadecimal digits, "}:", the name with its serial number, "#", the cap.
	if len(rest) < instanceLen+2 || !isHex(rest[:instanceLen]) || rest[instanceLen:instanceLen+2] != "}:" {
		return "", 0, false
	}
	name, limit, ok := strings.Cut(rest[instanceLen+2:], "#")
	if !ok || len(name) > maxLaneName || transport.CheckName(name[:min(len(name), 200)]) != nil {
		return "", 0, false
	}
	maxLen, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || maxLen < 1 {
		return "", 0, false
	}
	return addr, maxLen, true
}

const (
	instanceLen = 16
	// maxLaneName is a name of 200 characters, a dot and a serial number.
	maxLaneName = 220
)

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// newInstance is what makes this driver's lanes and consumers unique.
func newInstance() string {
	var b [instanceLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}
