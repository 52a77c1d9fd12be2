package bench

import (
	"context"
	"fmt"
	"strings"

	psnet "github.com/shirou/gopsutil/v4/net"
)

// connections counts each process's connections to the broker: those in the broker's CLIENT LIST whose other end is the
// process's own port.
func (l *processLeg) connections(ctx context.Context) (map[string]int, error) {
	if l.broker == nil {
		return nil, nil
	}
	list, err := l.broker.rdb.ClientList(ctx).Result()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for line := range strings.Lines(list) {
		for _, f := range strings.Fields(line) {
			if addr, ok := strings.CutPrefix(f, "addr="); ok {
				known[addr] = true
			}
		}
	}
	out := map[string]int{}
	for i, p := range l.running {
		own, err := psnet.ConnectionsPidWithContext(ctx, "tcp", int32(p.cmd.Process.Pid)) //nolint:gosec // a pid fits
		if err != nil {
			return nil, fmt.Errorf("%s: connections: %w", p.name, err)
		}
		for _, c := range own {
			// The local end alone doesn't tell a connection: the system uses a port again for another server.
			if known[end(c.Laddr)] && end(c.Raddr) == l.broker.srv.Addr {
				out[l.steps[i].part]++
			}
		}
	}
	return out, nil
}

func end(a psnet.Addr) string { return fmt.Sprintf("%s:%d", a.IP, a.Port) }
