//go:build !race

package gates

import (
	"net"
	"os"
	"strconv"
	"testing"

	psnet "github.com/shirou/gopsutil/v4/net"
)

// connections holds the client's and the worker's connections together, to what they connect to at addr (host:port), against
// a number, and against what their drivers declare.
func (p *pair) connections(addr string, most int) {
	p.t.Helper()
	declared := 0
	for _, d := range p.drivers {
		declared += d.Capabilities().Connections
	}
	n := connectionsTo(p.t, addr)
	p.t.Logf("%d connections, %d declared", n, declared)
	if n < 1 || n > most || declared > 0 && n > declared {
		p.t.Errorf("a client and a worker hold %d connections; want at most %d, and %d (0: any) are declared", n, most, declared)
	}
}

// connectionsTo counts this process's connections to the broker at addr (host:port), as the system knows them.
func connectionsTo(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseUint(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	own, err := psnet.ConnectionsPidWithContext(t.Context(), "tcp", int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range own {
		if c.Raddr.Port == uint32(p) && c.Status == "ESTABLISHED" {
			n++
		}
	}
	return n
}
