package mem

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// MaxBody is the largest message: more than any of the real brokers takes by default, small enough that a batch of them
// fits into a laptop's memory.
const MaxBody = 16 << 20

// Config has the settings of a broker. The zero value works.
type Config struct {
	// Dedup stores messages of one stream that bear the same DedupID once, within the last DedupWindow ids.
	Dedup bool
}

// Broker holds streams and lanes. Its methods may be called concurrently.
type Broker struct {
	cfg   Config
	epoch time.Time

	mu      sync.Mutex
	streams map[string]*stream
	lanes   map[string]*tailer   // private, by address
	shared  map[string][]*tailer // shared, by name
	lastID  uint64               // names of lanes and consumers
	lastSeq uint64               // the highest id of any stream that was wiped
	wipes   uint64               // counts Wipe, so that consumers notice
	free    entries              // spare entries
	nfree   int
	faults  faults
}

// NewBroker returns an empty broker.
func NewBroker(cfg Config) *Broker {
	return &Broker{
		cfg: cfg, epoch: time.Now(),
		streams: map[string]*stream{}, lanes: map[string]*tailer{}, shared: map[string][]*tailer{},
	}
}

// Open returns a new driver on the broker, as another process would have one. It never fails or blocks.
func (b *Broker) Open(opts transport.Options) *Driver {
	return &Driver{b: b, opts: opts, ensured: map[string]transport.StreamSpec{}, consumers: map[*consumer]struct{}{}, tailers: map[*tailer]struct{}{}}
}

// New returns a driver on a private broker with default settings.
func New() *Driver { return NewBroker(Config{}).Open(transport.Options{}) }

// now is the broker's clock: time since it was made, monotonic.
func (b *Broker) now() time.Duration { return time.Since(b.epoch) }

var named struct {
	mu      sync.Mutex
	brokers map[string]*Broker
}

// Open is the transport.Opener of "mem://name" and "mem://". The only parameter is dedup=true; whoever opens a name first
// decides it, and a later opener that disagrees is refused with CodeInvalid.
func Open(_ context.Context, u *url.URL, opts transport.Options) (transport.Driver, error) {
	invalid := func(msg string) error {
		return &transport.Error{Code: transport.CodeInvalid, Op: "open", Msg: msg}
	}
	if u.User != nil || u.Port() != "" || (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		return nil, invalid(`a mem URL has only a name, like "mem://demo", or none`)
	}
	var cfg Config
	for k, v := range u.Query() {
		on, err := strconv.ParseBool(v[len(v)-1])
		if k != "dedup" || err != nil {
			return nil, invalid("the mem URL's parameter " + strconv.Quote(k) + " is not known or has a bad value; the only one is dedup=true|false")
		}
		cfg.Dedup = on
	}
	if u.Host == "" {
		return NewBroker(cfg).Open(opts), nil
	}
	if err := transport.CheckName(u.Host); err != nil {
		return nil, err
	}
	named.mu.Lock()
	defer named.mu.Unlock()
	b := named.brokers[u.Host]
	if b == nil {
		b = NewBroker(cfg)
		if named.brokers == nil {
			named.brokers = map[string]*Broker{}
		}
		named.brokers[u.Host] = b
	}
	if b.cfg != cfg {
		return nil, invalid("mem://" + u.Host + " is open already with another value of dedup")
	}
	return b.Open(opts), nil
}
