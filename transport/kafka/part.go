package kafka

import (
	"strconv"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Bounds of what is read ahead for each partition. Kafka forces some reading ahead: it has no "n records", only bytes, and at
// least a whole batch. What is read ahead is not delivered: it is not counted, and the partition's next owner reads it anew.
const (
	aheadRecords = 64
	aheadBytes   = 64 << 10
	// fetchBytes is asked for each partition at once.
	fetchBytes = 256 << 10
)

// entry is a record.
type entry struct {
	offset int64
	body   []byte
	at     int64 // milliseconds by the broker's clock
	due    time.Time
}

// held is a delivery that is not settled; it is the Delivery's Token.
type held struct {
	p       *part
	c       *consumer
	e       entry
	attempt int
	settled bool
}

// part is a partition that this member owns, and how far it is. The member's lock guards it.
type part struct {
	m  *member
	id int32
	// Below watermark all is settled; next is what to fetch; high is past all that was delivered.
	watermark, next, high int64
	acked                 map[int64]struct{} // settled, at or above watermark
	held                  map[int64]*held
	retry                 []entry // released; due says when they go out again
	ahead                 []entry // fetched and not delivered
	aheadBytes            int
	tries                 map[int64]int // deliveries so far of unsettled offsets, where more than one
	// Below before, what is not settled was delivered once at least by earlier owners.
	before int64

	dirty    bool
	fresh    bool // nothing delivered yet since it was taken: the first deliveries are committed before they go out
	ask      ask
	fetching bool // ask is the fetcher's
	primed   bool // fetched once: what waited when it was taken is here
	lost     bool
	// sent are the last commit that was answered and those after it that weren't. If one of them is what the broker has, nobody
	// else has had the partition.
	sent []committed
}

func newPart(m *member, id int32, offset int64, metadata string) *part {
	pr := decodeProgress(metadata, offset)
	p := &part{
		m: m, id: id, watermark: offset, next: offset, high: pr.high, before: pr.high, tries: pr.tries,
		acked: map[int64]struct{}{}, held: map[int64]*held{}, dirty: true, fresh: true,
	}
	if p.tries == nil {
		p.tries = map[int64]int{}
	}
	for _, o := range pr.acked {
		p.acked[o] = struct{}{}
	}
	return p
}

// add takes what a fetch brought, in order. Offsets that don't exist (transactions' marks, deleted ones) count as settled.
func (p *part) add(es []entry) {
	for _, e := range es {
		if e.offset < p.next {
			continue
		}
		for o := p.next; o < e.offset; o++ {
			p.settle(o)
		}
		p.next = e.offset + 1
		if _, done := p.acked[e.offset]; done || e.offset < p.watermark {
			continue
		}
		if e.body == nil { // a mark or a tombstone
			p.settle(e.offset)
			continue
		}
		p.ahead = append(p.ahead, e)
		p.aheadBytes += len(e.body)
	}
}

// settle moves the watermark as far as all is settled.
func (p *part) settle(o int64) {
	if o < p.watermark {
		return
	}
	p.acked[o] = struct{}{}
	delete(p.tries, o)
	for {
		if _, ok := p.acked[p.watermark]; !ok {
			break
		}
		delete(p.acked, p.watermark)
		p.watermark++
	}
	p.high = max(p.high, p.watermark)
	p.dirty = true
}

// pop takes the next record that may be delivered now.
func (p *part) pop(now time.Time) (entry, bool) {
	for i, e := range p.retry {
		if !now.Before(e.due) {
			p.retry = append(p.retry[:i], p.retry[i+1:]...)
			return e, true
		}
	}
	if len(p.ahead) == 0 {
		return entry{}, false
	}
	e := p.ahead[0]
	p.ahead[0] = entry{}
	p.ahead = p.ahead[1:]
	p.aheadBytes -= len(e.body)
	return e, true
}

// deliver counts the attempt and holds the record for c.
func (p *part) deliver(e entry, c *consumer) transport.Delivery {
	n := p.tries[e.offset]
	if n == 0 && e.offset < p.before {
		n = 1
	}
	n++
	if n > 1 {
		p.tries[e.offset] = n
	}
	h := &held{p: p, c: c, e: e, attempt: n}
	p.held[e.offset] = h
	p.high = max(p.high, e.offset+1)
	p.dirty = true
	d := transport.Delivery{Stream: p.m.stream, ID: strconv.Itoa(int(p.id)) + "-" + strconv.FormatInt(e.offset, 10), Body: e.body, Attempt: n, Age: -1, Token: h}
	if p.m.d.caps.BrokerTime {
		d.Age = max(0, time.Duration(p.m.d.brokerNow().UnixMilli()-e.at)*time.Millisecond)
	}
	return d
}

// release gives a delivery back, to go out again after delay.
func (p *part) release(h *held, delay time.Duration) {
	delete(p.held, h.e.offset)
	h.settled = true
	h.e.due = time.Now().Add(delay)
	p.tries[h.e.offset] = h.attempt
	p.retry = append(p.retry, h.e)
	p.dirty = true
}

// progress is what to commit.
func (p *part) progress(nonce string) progress {
	pr := progress{nonce: nonce, high: p.high, tries: p.tries}
	for o := range p.acked {
		if o < p.high {
			pr.acked = append(pr.acked, o)
		}
	}
	return pr
}
