package files

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/streamerson/streamerson/transport"
)

// Driver implements transport.Driver.
type Driver struct {
	root, instance string
	done           chan struct{} // closed by Close

	mu      sync.Mutex
	ensured map[string][]string // groups by stream
	lastID  int64
	lanes   []*tailer
}

// maxBody is in bytes; files could be larger, but messages are held in memory.
const maxBody = 16 << 20

// noGroup holds the messages of a stream that has no group yet. It is no valid name of a group.
const noGroup = "-"

// Open is the transport.Opener of files:///some/folder.
func Open(_ context.Context, u *url.URL, _ transport.Options) (transport.Driver, error) {
	if u.Host != "" || u.Path == "" || u.RawQuery != "" {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "open", Msg: "a files URL has a folder and nothing else, like files:///var/spool/app"}
	}
	d := &Driver{root: u.Path, instance: rand.Text()[:10], done: make(chan struct{}), ensured: map[string][]string{}}
	for _, dir := range []string{"streams", "lanes", "new"} {
		if err := os.MkdirAll(d.path(dir), 0o700); err != nil {
			return nil, fail("open", "", err)
		}
	}
	return d, d.reap()
}

func (d *Driver) path(parts ...string) string {
	return filepath.Join(append([]string{d.root}, parts...)...)
}

// Capabilities says what a folder can't: tell who is alive, look into a stream without a group, know a message again.
func (d *Driver) Capabilities() transport.Capabilities {
	return transport.Capabilities{
		Name: "files", Version: "1", MaxBody: maxBody, CrossProcess: true, Stored: true,
		Durability: transport.DurabilityProcess, DurabilityNote: "written without fsync: the operating system has it, the disk may not",
		Redeliver: true, Extend: true, Release: true, ReleaseDelay: true, BrokerTime: true,
		Connections: 1, // an upper bound: there is none, and 0 would mean that it grows
	}
}

// Ensure makes folders.
func (d *Driver) Ensure(_ context.Context, specs []transport.StreamSpec) error {
	if d.closed() {
		return errClosed("ensure")
	}
	for _, sp := range specs {
		for _, name := range append(slices.Clone(sp.Groups), sp.Stream) {
			if err := transport.CheckName(name); err != nil {
				return err
			}
		}
		if sp.MaxBacklog != 0 {
			return &transport.Error{Code: transport.CodeUnsupported, Op: "ensure", Stream: sp.Stream, Msg: "a folder has no limit; leave MaxBacklog out"}
		}
	}
	for _, sp := range specs {
		d.mu.Lock()
		for _, g := range sp.Groups {
			if !slices.Contains(d.ensured[sp.Stream], g) {
				d.ensured[sp.Stream] = append(d.ensured[sp.Stream], g)
			}
		}
		groups := append([]string{}, d.ensured[sp.Stream]...) // not nil: it is ensured
		d.ensured[sp.Stream] = groups
		d.mu.Unlock()
		if err := d.create(sp.Stream, groups); err != nil {
			return fail("ensure", sp.Stream, err)
		}
	}
	return nil
}

// create makes what is missing. The first group takes what came before it; a later one begins with what the others have left.
func (d *Driver) create(stream string, groups []string) error {
	dir := d.path("streams", stream)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, g := range groups {
		before := d.groups(stream)
		if slices.Contains(before, g) || slices.Equal(before, []string{noGroup}) && os.Rename(filepath.Join(dir, noGroup), filepath.Join(dir, g)) == nil {
			continue
		}
		fresh, err := os.MkdirTemp(d.path("new"), "group-")
		if err != nil {
			return err
		}
		for _, other := range before {
			for _, m := range list(filepath.Join(dir, other)) {
				_ = os.Link(filepath.Join(dir, other, m.file()), filepath.Join(fresh, message{id: m.id}.file())) // unless it is settled meanwhile
			}
		}
		if os.Rename(fresh, filepath.Join(dir, g)) != nil { // another process was faster
			_ = os.RemoveAll(fresh)
		}
	}
	if len(d.groups(stream)) == 0 {
		return os.MkdirAll(filepath.Join(dir, noGroup), 0o700)
	}
	return nil
}

// groups lists the folders that a message goes to. It makes the stream again if it is gone and was ensured here.
func (d *Driver) groups(stream string) (names []string) {
	entries, err := os.ReadDir(d.path("streams", stream))
	d.mu.Lock()
	ensured, ok := d.ensured[stream]
	d.mu.Unlock()
	if err != nil && ok && d.create(stream, ensured) == nil {
		entries, _ = os.ReadDir(d.path("streams", stream))
	}
	for _, e := range entries {
		if e.Name() != noGroup || len(entries) == 1 {
			names = append(names, e.Name())
		}
	}
	return names
}

// Publish writes each message once and links it to where it goes.
func (d *Driver) Publish(_ context.Context, msgs []transport.Message, results []transport.Result) {
	for i := range msgs {
		results[i] = d.publish(&msgs[i])
	}
}

func (d *Driver) publish(m *transport.Message) transport.Result {
	to, err := d.targets(m)
	id := d.nextID()
	tmp := d.path("new", id)
	if err == nil {
		err = os.WriteFile(tmp, m.Body, 0o600)
		defer func() { _ = os.Remove(tmp) }()
	}
	if err != nil {
		return transport.Result{Outcome: transport.OutcomeRejected, Err: fail("publish", m.Stream, err)}
	}
	linked := 0
	tried := map[string]bool{}
	// A group that is made meanwhile finds what was linked before it, or is found by the second look.
	for range 2 {
		for _, dir := range to {
			if tried[dir] {
				continue
			}
			tried[dir] = true
			if e := os.Link(tmp, filepath.Join(dir, message{id: id}.file())); e == nil || errors.Is(e, fs.ErrExist) {
				linked++
			} else {
				err = e
			}
		}
		to, _ = d.targets(m)
	}
	if m.Lane {
		shorten(to)
	}
	if linked == 0 {
		return transport.Result{Outcome: transport.OutcomeRejected, Err: fail("publish", m.Stream, err)}
	}
	return transport.Result{Outcome: transport.OutcomeAccepted}
}

// targets are the folders that a message goes to.
func (d *Driver) targets(m *transport.Message) (dirs []string, err error) {
	switch {
	case d.closed():
		return nil, errClosed("publish")
	case m.Lane:
		dirs, err = d.readers(m.Stream)
	default:
		if err = transport.CheckName(m.Stream); err == nil {
			for _, g := range d.groups(m.Stream) {
				dirs = append(dirs, d.path("streams", m.Stream, g))
			}
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(m.Body) > maxBody:
		return nil, &transport.Error{Code: transport.CodeTooLarge, Op: "publish", Stream: m.Stream, Msg: "a body has at most 16 MiB"}
	case len(dirs) == 0:
		return nil, fs.ErrNotExist
	}
	return dirs, nil
}

// Close closes the lanes; what is in a Receive sees it at its next look.
func (d *Driver) Close(context.Context) error {
	d.mu.Lock()
	lanes := d.lanes
	if !d.closed() {
		close(d.done)
	}
	d.mu.Unlock()
	var err error
	for _, t := range lanes {
		err = errors.Join(err, t.close())
	}
	return err
}
