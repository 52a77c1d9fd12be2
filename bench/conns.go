package bench

import (
	"context"
	"fmt"
	"strings"

	psnet "github.com/shirou/gopsutil/v4/net"
)

// clients are those of CLIENT LIST.
func (b *redisBroker) clients(ctx context.Context) (map[string]bool, error) {
	list, err := b.rdb.ClientList(ctx).Result()
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
	return known, nil
}

// connections counts each process's connections to the broker: those that the broker knows as well, if it tells.
func (l *processLeg) connections(ctx context.Context) (map[string]int, error) {
	if l.broker == nil {
		return nil, nil
	}
	known, err := l.broker.clients(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for i, p := range l.running {
		own, err := psnet.ConnectionsPidWithContext(ctx, "tcp", int32(p.PID()))
		if err != nil {
			return nil, fmt.Errorf("%s: connections: %w", l.steps[i].part, err)
		}
		for _, c := range own {
			// The local end alone doesn't tell a connection: the system uses a port again for another server.
			if (known == nil || known[end(c.Laddr)]) && end(c.Raddr) == l.broker.hostport() {
				out[l.steps[i].part]++
			}
		}
	}
	return out, nil
}

func end(a psnet.Addr) string { return fmt.Sprintf("%s:%d", a.IP, a.Port) }
