package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/streamerson/streamerson/transport"
)

type named struct {
	most int16
	name string
}

// releases are the highest metadata.version that each release of Kafka has, by `kafka-storage.sh version-mapping` of Kafka 4.3.1. A
// broker tells the highest that it supports, which is as near to its version as it lets one come.
var releases = []named{
	{1, "3.0"}, {2, "3.1"}, {3, "3.2"}, {7, "3.3"}, {8, "3.4"}, {11, "3.5"}, {14, "3.6"}, {19, "3.7"}, {20, "3.8"}, {21, "3.9"},
	{25, "4.0"}, {27, "4.1"}, {29, "4.2"}, {30, "4.3"},
}

// release names the release of a metadata.version, without the patch level, which no broker tells.
func release(level int16) string {
	if level < 1 {
		return "2.4 or newer, without KRaft"
	}
	i := slices.IndexFunc(releases, func(r named) bool { return level <= r.most })
	if i < 0 {
		return "newer than " + releases[len(releases)-1].name
	}
	return releases[i].name
}

// version is what a broker tells of its version. It refuses one that is too old.
func (d *Driver) version(ctx context.Context) (string, error) {
	d.cl.mu.Lock()
	addrs := slices.Clone(d.set.addrs)
	for _, a := range d.cl.brokers {
		addrs = append(addrs, a)
	}
	d.cl.mu.Unlock()
	var err error
	for _, a := range addrs {
		name := ""
		_, err = d.cl.links.talkShort(ctx, a, d.set.timeout, func(l *link) error {
			newest := map[int16]int16{}
			for _, k := range l.keys {
				newest[k.ApiKey] = k.MaxVersion
			}
			if newest[int16(protocol.Produce)] < produceVersion || newest[int16(protocol.Fetch)] < fetchVersion || newest[int16(protocol.ApiVersions)] < apiVersionsVersion {
				return failMsg(transport.CodeUnsupported, "open", "", "the broker is older than Kafka 2.4; a newer one is needed")
			}
			answer, err := l.send(ctx, d.set.timeout, appendAPIVersions(l))
			if err == nil {
				name, err = readRelease(answer)
			}
			return err
		})
		if err == nil || codeOf(err) == transport.CodeUnsupported {
			return name, err
		}
	}
	return "", err
}

// apiVersionsVersion is Kafka 2.4's, the first flexible one. The library speaks those before, which don't tell of features.
const apiVersionsVersion = 3

func appendAPIVersions(l *link) []byte {
	b := append(l.request(protocol.ApiVersions, apiVersionsVersion), 0)
	for _, s := range []string{clientID, "1"} { // the client's name and version
		b = append(binary.AppendUvarint(b, uint64(len(s)+1)), s...)
	}
	return append(b, 0)
}

// readRelease finds the supported features, the answer's tagged field 0, and among them metadata.version.
func readRelease(answer []byte) (string, error) {
	r := reader{b: answer}
	if err := kafkaError(r.int16()); err != nil {
		return "", err
	}
	for range r.compact() {
		r.take(2 + 2 + 2)
		r.tags(nil)
	}
	r.take(4) // throttle time
	level := int16(0)
	r.tags(func(tag uint64, field reader) {
		if tag != 0 {
			return
		}
		for range field.compact() {
			name := string(field.take(field.compact()))
			field.take(2)
			if most := field.int16(); name == "metadata.version" {
				level = most
			}
			field.tags(nil)
		}
	})
	if r.err != nil {
		return "", fmt.Errorf("the list of APIs: %w", r.err)
	}
	return release(level), nil
}

// compact reads a length or number of things in its flexible form: one more than it is, and 0 for none.
func (r *reader) compact() int {
	n := r.uvarint()
	if n > uint64(len(r.b))+1 {
		r.err = errShort
		return 0
	}
	return max(int(n)-1, 0) //nolint:gosec // no more than what is left
}

// tags reads tagged fields and gives each to see, unless that is nil.
func (r *reader) tags(see func(tag uint64, field reader)) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		tag := r.uvarint()
		field := r.take(int(min(r.uvarint(), 1<<30))) //nolint:gosec // bounded
		if r.err != nil {
			return
		}
		if see != nil {
			see(tag, reader{b: field})
		}
	}
}
