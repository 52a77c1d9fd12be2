package files_test

import (
	"context"
	"os"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	files "github.com/streamerson/streamerson/examples/transport-files"
	"github.com/streamerson/streamerson/transport"
)

func TestMain(m *testing.M) {
	transport.Default.Register("files", files.Open)
	conformance.ServeChild(transport.Open) // the suite starts this program again, as workers that it can kill
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	conformance.Run(t, conformance.Harness{
		URL: "files://" + dir,
		// Without this line the scenarios that kill and replace workers run as well, for another minute.
		Areas:  []conformance.Area{conformance.AreaDriver, conformance.AreaRPC},
		Open:   func(ctx context.Context) (transport.Driver, error) { return transport.Open(ctx, "files://"+dir) },
		Broker: conformance.Control{Wipe: func(context.Context) error { return os.Rename(dir+"/streams", dir+"/new/wiped") }},
	})
}
