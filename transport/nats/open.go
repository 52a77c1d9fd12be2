package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/internal/quietconn"
	"github.com/streamerson/streamerson/transport"
)

// minVersion is the oldest server: before it JetStream lost or doubled messages in ways that a client can't make good.
var minVersion = [3]int{2, 12, 6}

// Limits of the connection.
const (
	// reconnectWait is the pause between attempts to reconnect, so that work goes on soon after the port is open.
	reconnectWait = 50 * time.Millisecond
	// pingEvery and pingsOut find a connection that is silent: it is dropped after 2–3 s.
	pingEvery = time.Second
	pingsOut  = 2
	// headerRoom is what a message's headers may take of the server's max_payload.
	headerRoom = 512
)

// Open is a transport.Opener. It dials, checks the credentials, the version and JetStream, and starts the driver.
func Open(ctx context.Context, u *url.URL, opts transport.Options) (transport.Driver, error) {
	set, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	d := &Driver{
		set: set, instance: newInstance(), opts: opts, log: transport.NewQuietLog(opts.Logger),
		link: newLink(), specs: map[string]*spec{}, members: map[transport.Consumer]bool{}, tailers: map[*tailer]bool{},
	}
	d.lates = newLates(d)
	d.nc, err = d.connect(ctx)
	if err != nil {
		return nil, fail("open", "", err)
	}
	if err := d.start(ctx); err != nil {
		d.mu.Lock()
		d.closed = true // so that the end of this connection is no event
		d.mu.Unlock()
		if d.presence.done != nil {
			d.presence.close()
		}
		d.nc.Close()
		return nil, err
	}
	return d, nil
}

// connect dials. RetryOnFailedConnect stays off: Open has to tell at once what is wrong; afterwards the connection comes back
// by itself for as long as the driver is open.
func (d *Driver) connect(ctx context.Context) (*natsgo.Conn, error) {
	o := append([]natsgo.Option{
		natsgo.Name("streamerson " + d.instance),
		natsgo.Timeout(d.set.dialTimeout),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(reconnectWait),
		natsgo.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		// Nothing is kept for later: a publish that timed out would be stored after its caller has given up.
		natsgo.ReconnectBufSize(-1),
		natsgo.IgnoreAuthErrorAbort(),
		natsgo.SkipSubjectValidation(), // of what is published to: it is made here of names and addresses that were checked
		// A write to a server that reads nothing holds the client library's lock; what it could not write it has thrown away, a
		// subscription perhaps, so the connection must go.
		natsgo.FlusherTimeout(d.set.timeout),
		natsgo.ReconnectOnFlusherError(),
		natsgo.PingInterval(pingEvery),
		natsgo.MaxPingsOutstanding(pingsOut),
		natsgo.CustomInboxPrefix(d.set.inboxPrefix),
		natsgo.SetCustomDialer(&dialer{open: ctx, d: net.Dialer{Timeout: d.set.dialTimeout}, dials: &d.dials}),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) { d.onState(false, err) }),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { d.onState(true, nil) }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { d.onError(err) }),
	}, d.set.auth...)
	if d.set.tls != nil {
		o = append(o, natsgo.Secure(d.set.tls))
	}
	return natsgo.Connect(strings.Join(d.set.servers, ","), o...)
}

// dialer lets the context of Open end the first dial, and closes the connection before: nats.go (1.55, doReconnect) forgets one
// whose server took it but did not introduce itself in time, as a server that is starting or stopped does.
type dialer struct {
	open  context.Context
	d     net.Dialer
	last  net.Conn
	dials *atomic.Uint64
}

// Dial implements natsgo.CustomDialer. nats.go calls it under its own lock, once the connection before is of no use any more.
func (x *dialer) Dial(network, address string) (net.Conn, error) {
	x.dials.Add(1)
	if x.last != nil {
		_ = x.last.Close() // harmless if it is closed already
		x.last = nil
	}
	ctx := context.Background()
	if x.open.Err() == nil {
		if end, ok := x.open.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, end)
			defer cancel()
		}
	}
	c, err := x.d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	x.last = c
	return quietconn.New(c), nil // read by one goroutine of the client library, and written under its lock
}

// start inspects the server and subscribes the inbox.
func (d *Driver) start(ctx context.Context) error {
	version := d.nc.ConnectedServerVersion()
	if !newEnough(version) {
		return failMsg(transport.CodeUnsupported, "open", "", fmt.Sprintf("the server is NATS %q; at least %d.%d.%d is needed (earlier ones lost or doubled messages of JetStream)",
			version, minVersion[0], minVersion[1], minVersion[2]))
	}
	d.caps = transport.Capabilities{
		Name: "nats", Version: version, MaxBody: int(d.nc.MaxPayload()) - headerRoom, CrossProcess: true,
		OrderedInPublish: true, LiveConsumers: true, Connections: 1,
		// A write may wait for another one's end, then take the timeout, then the answer, then a look at why there is none.
		Silence: 4 * d.set.timeout,
	}
	var err error
	if d.mux, err = newMux(d.nc, d.set.inboxPrefix+"."+d.instance); err != nil {
		return fail("open", "", err)
	}
	if err := d.openPresence(); err != nil {
		return fail("open", "", err)
	}
	if d.set.core {
		d.caps.Name = "nats+core"
		d.caps.Durability, d.caps.DurabilityNote = transport.DurabilityMemory, "core NATS stores nothing: a request lives in its receiver's memory only"
		return nil
	}
	if d.js, err = jetstream.New(d.nc); err != nil {
		return fail("open", "", err)
	}
	limited, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	if _, err := d.js.AccountInfo(limited); err != nil {
		if denied := d.denied.Load(); denied != nil {
			return &transport.Error{Code: transport.CodeDenied, Op: "open", Msg: "an account needs streamerson.>, $JS.API.> and $JS.ACK.>, and its inbox prefix", Err: *denied}
		}
		if code := codeOf(err); code == transport.CodeUnavailable {
			return &transport.Error{Code: transport.CodeUnsupported, Op: "open", Msg: "JetStream is not enabled for this account; start the server with -js, or use nats+core://", Err: err}
		}
		return fail("open", "", err)
	}
	d.caps.Stored, d.caps.Backlog = true, true
	d.caps.Redeliver, d.caps.Extend, d.caps.Release, d.caps.ReleaseDelay = true, true, true, true
	d.caps.Dedup, d.caps.BrokerTime, d.caps.Browse = d.set.dedup, true, true
	d.caps.Durability, d.caps.DurabilityNote = d.durability()
	d.startTrims()
	return nil
}

func (d *Driver) durability() (transport.Durability, string) {
	switch {
	case d.set.replicas > 1:
		return transport.DurabilityQuorum, "replicas=" + strconv.Itoa(d.set.replicas) + " for the streams that this driver makes"
	case d.set.storage == jetstream.MemoryStorage:
		return transport.DurabilityMemory, "storage=memory for the streams that this driver makes"
	default:
		return transport.DurabilityProcess, "one replica in files, synced to the disk by the server's sync_interval (2m by default)"
	}
}

// newEnough compares a version such as 2.12.6 or 2.14.0-RC.1 with minVersion.
func newEnough(version string) bool {
	version, pre, _ := strings.Cut(version, "-")
	parts := strings.SplitN(version, ".", 3)
	if len(parts) != 3 {
		return false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return false
		}
		if n != minVersion[i] {
			return n > minVersion[i]
		}
	}
	return pre == ""
}

// onError is called by the client library for what concerns no call.
func (d *Driver) onError(err error) {
	if errors.Is(err, natsgo.ErrSlowConsumer) {
		d.mu.Lock()
		members := slices.Collect(maps.Keys(d.members))
		d.mu.Unlock()
		for _, m := range members {
			if c, ok := m.(*coreConsumer); ok {
				c.reportDropped()
			}
		}
		return
	}
	if errors.Is(err, natsgo.ErrPermissionViolation) {
		d.denied.Store(&err)
	}
	d.log.Warn("async", "streamerson: NATS reports an error", "err", err)
}

func (d *Driver) onState(up bool, err error) {
	if d.isClosed() {
		return
	}
	d.link.set(up)
	if up {
		d.opts.Logger.Info("streamerson: NATS is back")
		d.event(transport.Event{Kind: transport.EventConnected})
		return
	}
	d.lates.endAll(connectionLost)
	d.log.Warn("down", "streamerson: NATS can't be reached; requests are refused until it is back", "err", err)
	d.event(transport.Event{Kind: transport.EventDisconnected, Err: err})
}
