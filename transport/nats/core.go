package nats

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

func (d *Driver) coreLag(ctx context.Context, stream, group string) (transport.Lag, error) {
	return transport.Lag{}, failMsg(transport.CodeUnsupported, "lag", stream, "")
}
func (d *Driver) coreNobody(stream string) *transport.Error         { return nil }
func (d *Driver) sendCore(m *transport.Message, reply string) error { return nil }
func newCoreConsumer(d *Driver, name, group string) member          { return nil }
