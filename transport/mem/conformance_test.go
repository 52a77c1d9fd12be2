package mem_test

import (
	"context"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]mem.Config{"plain": {}, "dedup": {Dedup: true}} {
		t.Run(name, func(t *testing.T) {
			b := mem.NewBroker(cfg)
			h := conformance.Harness{
				Open:   func(context.Context) (transport.Driver, error) { return b.Open(transport.Options{}), nil },
				Broker: conformance.Control{Wipe: func(context.Context) error { b.Wipe(); return nil }},
			}
			if cfg.Dedup {
				h.Only = []string{"capabilities", "dedup", "roundtrip", "packed-members", "packed-members-again"}
			}
			conformance.Run(t, h)
		})
	}
}
