package redis

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// A driver has connections to the sentinels as well, which come and go at any time: no command of ours may take one for the
// master's.
func TestSentinelConnectionsAreNotTheMasters(t *testing.T) {
	master := own(t, brokers.RedisConfig{})
	host, port, _ := net.SplitHostPort(master.Addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor main "+host+" "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	watch := own(t, brokers.RedisConfig{ConfigFile: conf, Args: []string{"--sentinel"}})
	sadm := admin(t, watch.Addr)
	eventually(t, 15*time.Second, "the sentinel knows the master", func() bool {
		return strings.Contains(sadm.Info(t.Context(), "sentinel").Val(), "status=ok")
	})
	d := openWith(t, "redis+sentinel://"+watch.Addr+"/0?master=main", transport.Options{})
	works(t, d, "before")
	if n := sadm.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Val(); n == 0 {
		t.Fatal("nobody subscribes to the sentinel")
	}
	eventually(t, 10*time.Second, "the driver subscribes again", func() bool {
		return strings.Contains(sadm.ClientList(t.Context()).Val(), "sub=2")
	})
	works(t, d, "after")
	if c := d.links.cmd.live(); c == nil || c.RemoteAddr().String() != master.Addr {
		t.Errorf("the link's connection is %v, want the master's", c)
	}
}
