package nats

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/streamerson/streamerson/transport"
)

// Every subject begins with root, so that one permission (streamerson.>) covers what is not JetStream's own API.
const (
	root         = "streamerson."
	streamPrefix = root + "s."      // + NAME: the requests
	livePrefix   = root + "live."   // + NAME.GROUP: who serves it?
	lanePrefix   = root + "lane."   // + INSTANCE.SERIAL.NAME: a private lane; the subject is its address
	sharedPrefix = root + "shared." // + NAME
	jsPrefix     = "streamerson_"   // + NAME: the JetStream stream
)

// instanceLen is the number of hexadecimal digits that make a driver's lanes unique.
const instanceLen = 16

// token makes one token of a subject, or a JetStream name, of a name: neither may contain a dot, and no name has a '='.
func token(name string) string { return strings.ReplaceAll(name, ".", "=") }

func streamSubject(stream string) string      { return streamPrefix + token(stream) }
func liveSubject(stream, group string) string { return livePrefix + token(stream) + "." + token(group) }
func jsStream(stream string) string           { return jsPrefix + token(stream) }

// laneAddress makes a private lane's address, which is its subject as well.
func laneAddress(instance, name string, serial int) string {
	if name == "" {
		name = "lane"
	}
	return lanePrefix + instance + "." + strconv.Itoa(serial) + "." + token(name)
}

// laneSubject turns an address into a subject. ok is false for one that no driver of this kind gave out: a reply to it could
// go to any subject of the account.
func laneSubject(addr string) (subject string, ok bool) {
	if name, shared := strings.CutPrefix(addr, transport.SharedLane("")); shared {
		return sharedPrefix + token(name), transport.CheckName(name) == nil
	}
	rest, ok := strings.CutPrefix(addr, lanePrefix)
	if !ok || len(rest) < instanceLen || !isHex(rest[:instanceLen]) {
		return "", false
	}
	rest, ok = strings.CutPrefix(rest[instanceLen:], ".")
	serial, name, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || len(serial) > 18 || !isDigits(serial) || strings.Contains(name, ".") {
		return "", false
	}
	return addr, transport.CheckName(strings.ReplaceAll(name, "=", ".")) == nil
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func newInstance() string {
	var b [instanceLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}
