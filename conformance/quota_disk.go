package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/transport"
)

// diskSize is the small disk's: room for a broker's own files, and filled in no time.
const diskSize = 96 << 20

func needDisk(e *Env) string { return missing("SmallDisk", e.h.Broker.SmallDisk == nil) }

// Rule: while the broker's disk is full, publishing is refused, or its outcome unknown, before 32 MiB have been accepted. Once there is
// room again publishing is accepted within 5 s, if need be (brokers that end themselves, or give up storing) after the broker was
// started again. Everything that was accepted, before, meanwhile and afterwards, is delivered.
func diskFull(e *Env) {
	disk := e.disk()
	if disk == nil {
		return
	}
	book, err := history.Open("", e.h.Prefix+e.scenario, e.h.Seed)
	if err != nil {
		e.Fatalf("%v", err)
	}
	r := book.Recorder("all")
	e.atLast(func() { e.judge(book, history.Rules{}) })
	d := r.Driver(e.openOn(disk.Open))
	s := e.stream(d, group)
	accepted := map[string]bool{}
	n := 0
	publish := func() (err error) {
		bodies := make([]string, 8)
		for i := range bodies {
			n++
			bodies[i] = fmt.Sprintf("%d %s", n, strings.Repeat("x", 8<<10))
		}
		for i, x := range e.try(d, messages(s, false, bodies)...) {
			if x.Err == nil {
				accepted[bodies[i]] = true
			} else {
				err = x.Err
			}
		}
		return err
	}
	if err := publish(); err != nil {
		e.Fatalf("with an empty disk: %v", err)
	}
	e.fix(disk.Fill())
	var refusal error
	for refusal == nil && len(accepted) < 4<<10 {
		refusal = publish()
	}
	if refusal == nil {
		e.Errorf("%d messages of 8 KiB were accepted, and the disk is full", len(accepted))
	}
	e.Logf("with a full disk, after %d: %v", len(accepted), refusal)
	e.fix(disk.Free())
	recovered := func(within time.Duration) bool {
		for end := time.Now().Add(e.d(within)); ; time.Sleep(50 * time.Millisecond) {
			err := publish()
			if err == nil || time.Now().After(end) {
				return err == nil
			}
		}
	}
	if !recovered(back) {
		e.Logf("it doesn't recover by itself; starting the broker again")
		ctx, cancel := e.ctx(12 * patience)
		defer cancel()
		e.fix(disk.Restart(ctx))
		if !recovered(comeBack) {
			e.Fatalf("publishing doesn't work after there is room again")
		}
	}
	e.takeAll(d, s, accepted)
}

// takeAll receives and acks until all that was accepted has come.
func (e *Env) takeAll(d transport.Driver, s string, accepted map[string]bool) {
	e.Helper()
	c := e.join(d, group, longLease)
	ctx, cancel := e.ctx(6 * patience)
	defer cancel()
	for left := len(accepted); left > 0; {
		ds, err := c.Receive(ctx, 100, creditsFor(100, s))
		if err != nil {
			if ctx.Err() != nil {
				e.Fatalf("%d of %d accepted messages have not come", left, len(accepted))
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		e.ack(c, ds...)
		for _, b := range bodiesOf(ds) {
			if accepted[b] {
				delete(accepted, b)
				left--
			}
		}
	}
}

// disk starts a broker with a small disk; nil means that there can't be one, which is noted.
func (e *Env) disk() *Disk {
	e.Helper()
	ctx, cancel := e.ctx(20 * patience)
	defer cancel()
	disk, err := e.h.Broker.SmallDisk(ctx, diskSize)
	if errors.Is(err, errors.ErrUnsupported) {
		e.cant = err.Error()
		return nil
	}
	if err != nil {
		e.Fatalf("harness: %v", err)
	}
	e.atLast(disk.Stop)
	return disk
}
