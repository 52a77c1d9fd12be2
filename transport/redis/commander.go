package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

const (
	// maxPipeline bounds the bytes of one pipeline: a bigger one would hold up everything behind it, and Redis would keep
	// it whole in its query buffer.
	maxPipeline = 4 << 20
	// maxQueued is how long commands wait behind a pipeline that isn't answered before they are refused: longer than any
	// healthy pipeline takes, short enough that a caller is told within a second.
	maxQueued = 750 * time.Millisecond
	// ackDelay is how long an ack waits for a pipeline to travel with before it gets one of its own.
	ackDelay = 2 * time.Millisecond
	// probeMin and probeMax bound the pause between attempts to reach a lost broker: it is back within probeMax of its port.
	probeMin = 25 * time.Millisecond
	probeMax = 250 * time.Millisecond
)

// errNotSent wraps the cause when commands certainly did not leave the process.
type errNotSent struct{ err error }

func (e *errNotSent) Error() string { return e.err.Error() }
func (e *errNotSent) Unwrap() error { return e.err }

// op is one caller's share of a pipeline. The commander owns cmds from enqueue until done, or for good if abandoned.
type op struct {
	cmds  []goredis.Cmder
	bytes int
	done  chan error // capacity 1
	seq   int64      // the pipeline it went with; 0 while queued (guarded by commander.mu)
}

// commander runs all commands that don't block, over one connection, as a group commit: while one pipeline is in flight
// the next one gathers. It has no timer on this path: a lone command is sent at once.
type commander struct {
	link *link
	// extra adds what travels with the next pipeline (acks, lane trims); sent is told how it went.
	extra   func(dst []goredis.Cmder) []goredis.Cmder
	sent    func(err error)
	onState func(up bool, err error)
	// exact: link.sent and writtenSeq tell the truth; not in a Cluster, which has several connections.
	exact bool

	mu      sync.Mutex
	queue   []*op
	seq     int64
	closing bool
	busy    bool            // a pipeline is in flight, or the broker is being looked for
	downErr error           // not nil while the broker is known to be away
	own     []goredis.Cmder // of the caller that runs a pipeline itself; guarded by busy

	writtenSeq atomic.Int64
	flush      *time.Timer // wakes run when what extra has should wait no longer
	armed      atomic.Bool
	wake       chan struct{} // capacity 1
	broken     chan error    // capacity 1: how a caller's own pipeline ended; busy is handed over with it
	stop       chan struct{}
	done       chan struct{}
}

func newCommander(l *link, exact bool) *commander {
	c := &commander{
		link: l, exact: exact, wake: make(chan struct{}, 1), broken: make(chan error, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	c.flush = time.AfterFunc(time.Hour, func() {
		c.armed.Store(false)
		signal(c.wake)
	})
	l.written = func() {
		c.mu.Lock()
		seq := c.seq
		c.mu.Unlock()
		c.writtenSeq.Store(seq)
	}
	return c
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// soon has what extra holds sent within ackDelay, with another pipeline or with one of its own.
func (c *commander) soon() {
	if !c.armed.Load() && !c.armed.Swap(true) {
		c.flush.Reset(ackDelay)
	}
}

var errBrokerSilent = errors.New("the broker doesn't answer")

// do runs cmds in one pipeline and waits. A nil error means that each command has its own outcome; *errNotSent that none
// was sent; any other error that the connection broke, and commands without a reply may have been done. abandoned is set
// when ctx ended first: cmds then still belong to the commander.
func (c *commander) do(ctx context.Context, cmds []goredis.Cmder, bytes int) (abandoned bool, err error) {
	if ctx.Err() != nil {
		return false, &errNotSent{ctx.Err()}
	}
	c.mu.Lock()
	switch {
	case c.closing:
		c.mu.Unlock()
		return false, &errNotSent{goredis.ErrClosed}
	case c.downErr != nil:
		err := c.downErr
		c.mu.Unlock()
		return false, &errNotSent{err}
	case !c.busy && len(c.queue) == 0 && ctx.Done() == nil:
		// Nothing is under way, and the caller waits whatever happens: it may as well do it itself.
		c.busy = true
		c.seq++
		c.mu.Unlock()
		return false, c.runOwn(cmds)
	}
	o := &op{cmds: cmds, bytes: bytes, done: make(chan error, 1)}
	c.queue = append(c.queue, o)
	c.mu.Unlock()
	signal(c.wake)
	return c.await(ctx, o)
}

func (c *commander) await(ctx context.Context, o *op) (abandoned bool, err error) {
	select { // most are answered in far less than a timer is worth
	case err = <-o.done:
		return false, err
	default:
	}
	stall := time.NewTimer(maxQueued)
	defer stall.Stop()
	for {
		select {
		case err = <-o.done:
			return false, err
		case <-stall.C:
			if c.unqueue(o) {
				return false, &errNotSent{errBrokerSilent}
			}
		case <-ctx.Done():
			if c.unqueue(o) {
				return false, &errNotSent{ctx.Err()}
			}
			return c.abandon(ctx, o)
		}
	}
}

// abandon returns once the commands' bodies are no longer needed: when they have been written.
func (c *commander) abandon(ctx context.Context, o *op) (bool, error) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-o.done:
			return false, err
		case <-poll.C:
			if c.exact && c.writtenSeq.Load() >= o.seq {
				return true, ctx.Err()
			}
		}
	}
}

// unqueue takes o back, if it has not been sent.
func (c *commander) unqueue(o *op) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.seq != 0 {
		return false
	}
	if i := slices.Index(c.queue, o); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		return true
	}
	return false
}

// runOwn runs a caller's pipeline in its own goroutine, which saves two hand-overs. busy is set.
func (c *commander) runOwn(cmds []goredis.Cmder) error {
	all := append(c.extra(c.own[:0]), cmds...)
	err := c.execute(nil, all)
	clear(all)
	c.own = all[:0]
	if err != nil {
		c.broken <- err
		return err
	}
	c.release()
	return nil
}

// release ends a pipeline's turn.
func (c *commander) release() {
	c.mu.Lock()
	c.busy = false
	more := len(c.queue) > 0
	c.mu.Unlock()
	if more {
		signal(c.wake)
	}
}

// acquire begins a turn, unless somebody has it: its release wakes run if there is more to do.
func (c *commander) acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return false
	}
	c.busy = true
	return true
}

// run is the commander's goroutine.
func (c *commander) run() {
	defer close(c.done)
	defer c.flush.Stop()
	var ops []*op
	var cmds []goredis.Cmder
	for {
		select {
		case <-c.wake:
		case err := <-c.broken:
			c.recover(err)
			c.release()
			continue
		case <-c.stop:
			c.finish()
			return
		}
		if !c.acquire() {
			c.soon() // what extra holds must not be forgotten
			continue
		}
		ops, cmds = c.take(ops[:0], c.extra(cmds[:0]))
		if len(cmds) > 0 {
			if err := c.execute(ops, cmds); err != nil {
				c.recover(err)
			}
		}
		clear(cmds)
		clear(ops)
		c.release()
	}
}

func (c *commander) take(ops []*op, cmds []goredis.Cmder) ([]*op, []goredis.Cmder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	size, n := 0, 0
	for _, o := range c.queue {
		if n > 0 && size+o.bytes > maxPipeline {
			break
		}
		o.seq = c.seq
		size += o.bytes
		ops, cmds = append(ops, o), append(cmds, o.cmds...)
		n++
	}
	c.queue = slices.Delete(c.queue, 0, n)
	return ops, cmds
}

// execute runs one pipeline and tells its owners. The error is not nil when the connection broke.
func (c *commander) execute(ops []*op, cmds []goredis.Cmder) error {
	c.link.mark()
	err := c.link.pipeline(cmds)
	if err != nil && c.exact && c.link.sent.Load() == 0 {
		err = &errNotSent{err}
	}
	c.sent(err)
	for _, o := range ops {
		o.done <- err
	}
	return err
}

// recover finds the broker again. The first attempt is made at once: a connection that was merely closed is replaced
// before anyone is refused. While the broker is away all commands are refused without waiting.
func (c *commander) recover(cause error) {
	if codeOf(cause) == transport.CodeTimeout && c.setDown(cause) {
		c.onState(false, cause) // it was silent for long enough: nobody else need wait for that
	}
	pause := probeMin
	for {
		err := c.probe()
		if err == nil {
			break
		}
		if c.setDown(err) {
			c.onState(false, cause)
		}
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, probeMax)
	}
	if c.setDown(nil) {
		c.onState(true, nil)
	}
}

func (c *commander) probe() error {
	cmd := goredis.NewStatusCmd(context.Background(), "ping")
	if err := c.link.pipeline([]goredis.Cmder{cmd}); err != nil {
		return err
	}
	return cmd.Err() // LOADING, NOAUTH …: reachable, but of no use yet
}

// setDown records the state, refuses what is queued when it is down, and tells whether it changed.
func (c *commander) setDown(err error) bool {
	c.mu.Lock()
	changed := (c.downErr == nil) != (err == nil)
	c.downErr = err
	var refused []*op
	if err != nil {
		refused, c.queue = c.queue, nil
		for _, o := range refused {
			o.seq = -1
		}
	}
	c.mu.Unlock()
	for _, o := range refused {
		o.done <- &errNotSent{err}
	}
	return changed
}

// finish sends what is left when the driver closes.
func (c *commander) finish() {
	for !c.acquire() {
		select {
		case <-c.broken: // nobody will use the connection again
			c.setDown(goredis.ErrClosed)
			return
		case <-time.After(time.Millisecond):
		}
	}
	for {
		cmds := c.extra(nil)
		ops, cmds := c.take(nil, cmds)
		if len(cmds) == 0 {
			return
		}
		if c.execute(ops, cmds) != nil {
			c.setDown(goredis.ErrClosed)
			return
		}
	}
}

// close stops accepting, sends what is queued, and ends the goroutine; ctx bounds the wait.
func (c *commander) close(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	close(c.stop)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.link.abort()
		return ctx.Err()
	}
}

// awaitUp waits until the broker is there, for a goodbye that is worth two attempts to reach it, but not more.
func (c *commander) awaitUp(ctx context.Context) {
	end := time.Now().Add(2 * probeMax)
	for c.down() != nil && ctx.Err() == nil && time.Now().Before(end) {
		time.Sleep(probeMin)
	}
}

// down returns why the broker is away, or nil.
func (c *commander) down() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.downErr
}

// pipeline runs cmds; the error is not nil only when the connection broke: error replies are each command's own. One
// command is a pipeline as well: only so can an error reply to the handshake be told from one to the command.
func (l *link) pipeline(cmds []goredis.Cmder) error {
	if done, err := l.direct(cmds); done {
		return err
	}
	l.dir.viaGoredis()
	ctx := context.Background()
	p := l.client.Pipeline()
	_ = p.BatchProcess(ctx, cmds...)
	_, err := p.Exec(ctx)
	if err == nil {
		return nil
	}
	// Exec returns the first command's error, which may hide a broken connection behind an error reply.
	replied := false
	for i := len(cmds) - 1; i >= 0; i-- {
		e := cmds[i].Err()
		if e == nil {
			continue
		}
		if !errors.Is(e, goredis.Nil) && !isServerError(e) {
			return e
		}
		replied = true
	}
	if !replied {
		return err
	}
	return nil
}

// opError turns do's error into a *transport.Error for calls that publish nothing.
func opError(op, stream string, err error) *transport.Error {
	if ns, ok := errors.AsType[*errNotSent](err); ok {
		if errors.Is(ns.err, context.Canceled) || errors.Is(ns.err, context.DeadlineExceeded) {
			return fail(op, stream, ns.err)
		}
		return connFail(op, stream, ns.err)
	}
	return fail(op, stream, err)
}
