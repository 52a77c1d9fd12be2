package kafka

import (
	"encoding/binary"
	"slices"
	"strings"
)

// protocolName is the assignment's name in JoinGroup.
const protocolName = "streamerson-sticky"

// claim is a member of a group and what it owns at the moment.
type claim struct {
	id    string
	owned []int32
}

// assign shares n partitions out evenly, and moves as few as that allows: a partition that moves may have running handlers,
// and what they do is done again elsewhere.
func assign(members []claim, n int32) map[string][]int32 {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b claim) int {
		if len(a.owned) != len(b.owned) {
			return len(b.owned) - len(a.owned) // who has more keeps the odd ones
		}
		return strings.Compare(a.id, b.id)
	})
	out := map[string][]int32{}
	if len(members) == 0 {
		return out
	}
	least, odd := int(n)/len(members), int(n)%len(members)
	quota := make([]int, len(members))
	for i := range members {
		quota[i] = least
		if i < odd {
			quota[i]++
		}
	}
	taken := make([]bool, n)
	for i, m := range members {
		for _, p := range m.owned {
			if p >= 0 && p < n && !taken[p] && len(out[m.id]) < quota[i] {
				taken[p] = true
				out[m.id] = append(out[m.id], p)
			}
		}
	}
	i := 0
	for p := range n {
		if taken[p] {
			continue
		}
		for len(out[members[i].id]) >= quota[i] {
			i++
		}
		out[members[i].id] = append(out[members[i].id], p)
	}
	return out
}

// What follows are the two forms that members of a group exchange, Kafka's "consumer" protocol in version 0.

// subscription names the topic, with the owned partitions as user data.
func subscription(topic string, owned []int32) []byte {
	b := []byte{0, 0, 0, 0, 0, 1}
	b = appendString(b, topic)
	b = binary.BigEndian.AppendUint32(b, uint32(4*len(owned))) //nolint:gosec // few
	for _, p := range owned {
		b = binary.BigEndian.AppendUint32(b, uint32(p)) //nolint:gosec // a partition's number
	}
	return b
}

func parseSubscription(b []byte) (owned []int32, err error) {
	r := reader{b: b}
	r.take(2)
	for range r.count(2) {
		r.take(int(r.uint16()))
	}
	for range r.count(1) / 4 {
		owned = append(owned, int32(r.uint32())) //nolint:gosec // checked by assign
	}
	return owned, r.err
}

func assignment(topic string, parts []int32) []byte {
	b := []byte{0, 0, 0, 0, 0, 1}
	b = appendString(b, topic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(parts))) //nolint:gosec // few
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(p)) //nolint:gosec // a partition's number
	}
	return append(b, 0xff, 0xff, 0xff, 0xff) // no user data
}

func parseAssignment(b []byte, topic string) (parts []int32, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := reader{b: b}
	r.take(2)
	for range r.count(2) {
		name := string(r.take(int(r.uint16())))
		for range r.count(4) {
			if p := r.uint32(); name == topic && r.err == nil {
				parts = append(parts, int32(p)) //nolint:gosec // a partition's number
			}
		}
	}
	return parts, r.err
}
