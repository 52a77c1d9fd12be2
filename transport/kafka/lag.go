package kafka

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go/protocol/describegroups"

	"github.com/streamerson/streamerson/transport"
)

// backlog is how far a group is behind in one partition.
type backlog struct {
	partition        int32
	waiting, pending int64
	first            int64 // the oldest offset that is not settled
}

// Lag compares the ends of the partitions with what the group has committed, which is at most commitEvery old.
func (d *Driver) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	var l transport.Lag
	if err := d.check("lag"); err != nil {
		return l, err
	}
	if err := checkStream("lag", stream); err != nil {
		return l, err
	}
	if err := transport.CheckName(group); err != nil {
		return l, failMsg(transport.CodeInvalid, "lag", stream, "group: "+nameMsg(err))
	}
	rows, err := d.backlog(ctx, stream, group)
	if err != nil {
		return l, opError("lag", stream, err)
	}
	for _, b := range rows {
		l.Waiting += b.waiting
		l.Pending += b.pending
	}
	if l.Oldest, err = d.oldest(ctx, stream, rows); err != nil {
		return l, opError("lag", stream, err)
	}
	if l.Consumers, err = d.liveMembers(ctx, group, stream); err != nil {
		return l, opError("lag", stream, err)
	}
	return l, nil
}

func (d *Driver) backlog(ctx context.Context, stream, group string) ([]backlog, error) {
	leaders, err := d.cl.leaders(ctx, stream)
	if err != nil {
		return nil, err
	}
	all := make([]int32, len(leaders))
	for p := range all {
		all[p] = int32(p) //nolint:gosec // a partition's number
	}
	have, err := d.offsets(ctx, group, stream, -1, all...)
	if err != nil {
		return nil, err
	}
	if have[0].offset < 0 {
		return nil, failMsg(transport.CodeNotFound, "lag", stream, "the group "+group+" does not exist")
	}
	ends, err := d.edge(ctx, stream, -1, all...)
	if err != nil {
		return nil, err
	}
	out := make([]backlog, 0, len(all))
	for _, p := range all {
		from := max(have[p].offset, 0)
		pr := decodeProgress(have[p].metadata, from)
		high := min(pr.high, ends[p])
		b := backlog{partition: p, waiting: max(ends[p]-high, 0), pending: max(high-from-int64(len(pr.acked)), 0), first: from}
		out = append(out, b)
	}
	return out, nil
}

// oldest looks at the first unsettled record of each partition that has one.
func (d *Driver) oldest(ctx context.Context, stream string, rows []backlog) (time.Duration, error) {
	if !d.caps.BrokerTime {
		return -1, nil
	}
	leaders, err := d.cl.leaders(ctx, stream)
	if err != nil {
		return 0, err
	}
	var age time.Duration
	for _, b := range rows {
		if b.waiting+b.pending == 0 || int(b.partition) >= len(leaders) {
			continue
		}
		// One partition a request: a broker gives at least one batch, whatever the limit, but only of the first partition.
		a := &ask{target: target{stream, b.partition}, offset: b.first, most: 1}
		if _, err := d.fetch(ctx, leaders[b.partition], []*ask{a}, 0, new([]entry)); err != nil {
			return 0, err
		}
		for _, e := range a.got.entries {
			if e.offset >= b.first {
				age = max(age, time.Duration(d.brokerNow().UnixMilli()-e.at)*time.Millisecond, 1)
				break
			}
		}
	}
	return age, nil
}

// liveMembers counts the processes in Kafka's group; one that was killed counts until its session ends. What they own is kept for
// the next Publish.
func (d *Driver) liveMembers(ctx context.Context, group, stream string) (n int, err error) {
	id := groupID(group, stream)
	err = d.cl.retryGroup(ctx, id, func() error {
		r, err := d.cl.group(ctx, id, d.set.timeout, &describegroups.Request{Groups: []string{id}})
		if err != nil {
			return err
		}
		for _, g := range r.(*describegroups.Response).Groups {
			if err := kafkaError(g.ErrorCode); err != nil {
				return err
			}
			n = len(g.Members)
			var shares [][]int32
			for _, m := range g.Members {
				if own := ownedBy(&m, stream); len(own) > 0 {
					shares = append(shares, own)
				}
			}
			d.owners.set(stream, shares)
		}
		return nil
	})
	return n, err
}

// ownedBy lists the partitions that a member has. One that speaks another protocol has none that we know.
func ownedBy(m *describegroups.ResponseGroupMember, stream string) []int32 {
	own, err := parseAssignment(m.MemberAssignment, stream)
	if err != nil {
		return nil
	}
	return own
}
