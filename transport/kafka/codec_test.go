package kafka

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/streamerson/streamerson/transport"
)

// What we write the client library reads, and what it writes, compressed or not, we read.
func TestRecordsAreTheLibrarys(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	msgs := []transport.Message{{Body: []byte("a")}, {}, {Body: bytes.Repeat([]byte("x"), 5000), Key: "key"}, {Body: []byte("left out")}}
	var set protocol.RecordSet
	ours := appendBatch(nil, msgs, []int{0, 1, 2}, now)
	if _, err := set.ReadFrom(bytes.NewReader(ours)); err != nil {
		t.Fatal(err)
	}
	batches := set.Records.(*protocol.RecordStream).Records
	for i := range 3 {
		rec, err := batches[0].ReadRecord()
		if err != nil {
			t.Fatal(err)
		}
		value, _ := protocol.ReadAll(rec.Value)
		key, _ := protocol.ReadAll(rec.Key)
		if !bytes.Equal(value, msgs[i].Body) || string(key) != msgs[i].Key || !rec.Time.Equal(now) || rec.Value == nil {
			t.Errorf("record %d: %d bytes, key %q, time %v", i, len(value), key, rec.Time)
		}
	}
	es, err := appendRecords(nil, ours[4:], 1, &arena{})
	if err != nil || len(es) != 2 || es[0].offset != 1 || es[0].body == nil || !bytes.Equal(es[1].body, msgs[2].Body) || es[1].at != now.UnixMilli() {
		t.Errorf("from offset 1: %d records, %v", len(es), err)
	}
	for _, c := range []kafkago.Compression{0, kafkago.Gzip, kafkago.Zstd} {
		var b bytes.Buffer
		theirs := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(c), Records: protocol.NewRecordReader(
			protocol.Record{Time: now, Value: protocol.NewBytes([]byte("theirs"))},
			protocol.Record{Time: now, Value: protocol.NewBytes([]byte("mark")), Headers: []protocol.Header{{Key: markHeader}}},
			protocol.Record{Time: now},
			protocol.Record{Time: now, Value: protocol.NewBytes([]byte{})})}
		if _, err := theirs.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		es, err := appendRecords(nil, append(b.Bytes()[4:], ours[4:40]...), 0, &arena{}) // a batch that is cut short comes last
		if err != nil || len(es) != 4 || string(es[0].body) != "theirs" || es[1].body != nil || es[2].body != nil || es[3].body == nil {
			t.Errorf("compression %d: %d records, %v", c, len(es), err)
		}
	}
	for at := batchAttrsAt; at < len(ours)-4; at += 97 {
		bad := slices.Clone(ours[4:])
		bad[at] ^= 0x40
		if _, err := appendRecords(nil, bad, 0, &arena{}); err == nil {
			t.Errorf("a bit was wrong at %d, and it went unnoticed", at)
		}
	}
}

// FuzzRecords: whatever a broker sends, reading it ends, with at most as much memory as it has bytes.
func FuzzRecords(f *testing.F) {
	f.Add(appendBatch(nil, []transport.Message{{Body: []byte("a"), Key: "k"}, {}}, []int{0, 1}, time.UnixMilli(1)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) > batchHead && b[batchMagicAt] == 2 { // older ones are the library's
			_, _ = appendBatchRecords(nil, b, 0, 0, &arena{})
		}
		asks := []*ask{{target: target{"t", 0}}}
		_ = readFetched(b, asks, new([]entry), &arena{})
		_ = readProduced(b, []*batch{{target: target{"t", 0}}})
		_, _ = readRelease(b)
	})
}

func TestReleases(t *testing.T) {
	for level, want := range map[int16]string{0: "2.4", 21: "3.9", 22: "4.0", 27: "4.1", 30: "4.3", 31: "newer than 4.3"} {
		if got := release(level); !strings.HasPrefix(got, want) {
			t.Errorf("metadata.version %d: %s, want %s", level, got, want)
		}
	}
}

func TestOneOwnerGetsOnePartition(t *testing.T) {
	d := &Driver{cl: newCluster(&settings{maxBody: 1 << 20}), set: &settings{maxBody: 1 << 20}, streams: map[string]*stream{}}
	d.cl.topics["s"] = []int32{1, 1, 1, 1, 1, 1, 1, 2}
	msgs := make([]transport.Message, 64)
	for i := range msgs {
		msgs[i] = transport.Message{Stream: "s", Body: fmt.Append(nil, i)}
	}
	parts := func() map[int32]int {
		used := map[int32]int{}
		for _, round := range d.plan(t.Context(), opPublish, msgs, make([]transport.Result, len(msgs))) {
			for _, b := range round {
				used[b.partition] += len(b.msgs)
			}
		}
		return used
	}
	if got := parts(); len(got) != 8 {
		t.Errorf("with owners unknown %v", got)
	}
	d.owners.set("s", [][]int32{{0, 1, 2, 3, 4, 5, 6, 7}})
	if got := parts(); len(got) != 1 {
		t.Errorf("with one owner %v", got)
	}
	d.owners.set("s", [][]int32{{0, 1, 2, 3}, {4, 5, 6, 7}})
	low := 0
	for p, n := range parts() {
		if p < 4 {
			low += n
		}
	}
	if low != 32 {
		t.Errorf("with two owners one gets %d of 64", low)
	}
	d.cl.avoid(2)
	for range 20 {
		if got := parts(); got[7] > 0 {
			t.Errorf("a partition whose leader can't be reached got %d", got[7])
		}
	}
}
