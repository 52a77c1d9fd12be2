package brokers

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// wipeTimeout bounds one answer of a broker that is wiped.
const wipeTimeout = 10 * time.Second

// dial connects for one exchange that ctx and wipeTimeout bound.
func (b *Broker) dial(ctx context.Context, addr string) (net.Conn, error) {
	if err := b.ours(); err != nil { // nobody wants the data of a broker of theirs deleted
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wipeTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return c, c.SetDeadline(deadline)
}

// Wipe deletes all data while the server runs (FLUSHALL). It is for servers without a password that were started here.
func (r *Redis) Wipe(ctx context.Context) error { return r.command(ctx, "FLUSHALL") }

// Fill leaves the server no memory for more: the limit is below what is in use, and nothing is evicted. Relieve ends that.
func (r *Redis) Fill(ctx context.Context) error {
	return errors.Join(r.command(ctx, "CONFIG SET maxmemory-policy noeviction"), r.command(ctx, "CONFIG SET maxmemory 1mb"))
}

// Relieve ends Fill.
func (r *Redis) Relieve(ctx context.Context) error { return r.command(ctx, "CONFIG SET maxmemory 0") }

// DeleteGroup deletes a group of a stream of the driver's.
func (r *Redis) DeleteGroup(ctx context.Context, stream, group string) error {
	return r.command(ctx, "EVAL \"redis.call('XGROUP','DESTROY',KEYS[1],ARGV[1]) return redis.status_reply('OK')\" 1 "+redisKey(stream)+" "+group)
}

// DeleteConsumers deletes all of a group's consumers, with what is pending for them.
func (r *Redis) DeleteConsumers(ctx context.Context, stream, group string) error {
	return r.command(ctx, "EVAL \"for _, c in ipairs(redis.call('XINFO','CONSUMERS',KEYS[1],ARGV[1])) do redis.call('XGROUP','DELCONSUMER',KEYS[1],ARGV[1],c[2]) end "+
		"return redis.status_reply('OK')\" 1 "+redisKey(stream)+" "+group)
}

// redisKey is where the driver keeps a stream.
func redisKey(stream string) string { return "streamerson:{" + stream + "}" }

// command sends one command, whose answer has to be OK.
func (r *Redis) command(ctx context.Context, line string) error {
	c, err := r.dial(ctx, r.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && answer != "+OK\r\n" {
		err = fmt.Errorf("brokers: %s: %q", line, answer)
	}
	return err
}

// Wipe deletes all topics but the broker's own and the driver's clock, while the broker runs. It is for brokers that were
// started here. It speaks just enough of the protocol, so that the package needs no client library.
func (k *Kafka) Wipe(ctx context.Context) error {
	topics, err := k.topics(ctx)
	if err != nil || len(topics) == 0 {
		return err
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(topics)))
	for _, t := range topics {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(t))), t...)
	}
	body = binary.BigEndian.AppendUint32(body, uint32(wipeTimeout.Milliseconds()))
	r, err := k.ask(ctx, 20, 1, body) // DeleteTopics
	if err != nil {
		return err
	}
	r.int32() // throttle time
	for range r.int32() {
		if name, code := r.text(), r.int16(); code != 0 && code != 3 { // 3: it is gone already
			return fmt.Errorf("brokers: deleting topic %s: error %d", name, code)
		}
	}
	return r.err
}

// topics lists what Wipe deletes.
func (k *Kafka) topics(ctx context.Context) (names []string, err error) {
	r, err := k.ask(ctx, 3, 1, []byte{0xff, 0xff, 0xff, 0xff}) // Metadata of all topics
	if err != nil {
		return nil, err
	}
	for range r.int32() { // brokers
		r.int32()
		r.text()
		r.int32()
		r.text()
	}
	r.int32() // controller
	for range r.int32() {
		r.int16() // error
		name, internal := r.text(), r.bytes(1)
		for range r.int32() { // partitions
			r.bytes(2 + 4 + 4)
			r.bytes(4 * int(r.int32()))
			r.bytes(4 * int(r.int32()))
		}
		if r.err == nil && internal[0] == 0 && name != "streamerson.clock" {
			names = append(names, name)
		}
	}
	return names, r.err
}

// ask sends one request and returns its answer, behind the correlation id.
func (k *Kafka) ask(ctx context.Context, api, version uint16, body []byte) (*kafkaReader, error) {
	c, err := k.dial(ctx, loopback(k.ports[1])) // where it wants no password
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	req := binary.BigEndian.AppendUint32(nil, uint32(10+len(body)))
	req = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(req, api), version)
	req = append(req, 0, 0, 0, 1, 0xff, 0xff) // correlation id 1, no client id
	if _, err := c.Write(append(req, body...)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	rest, err := io.ReadAll(io.LimitReader(c, size))
	if err == nil && int64(len(rest)) < size {
		err = io.ErrUnexpectedEOF
	}
	return &kafkaReader{b: rest}, err
}

// kafkaReader reads fields of an answer; past its end everything is 0 and err is set.
type kafkaReader struct {
	b   []byte
	err error
}

func (r *kafkaReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err = errors.New("brokers: Kafka's answer is shorter than it says")
		r.b = nil
		return make([]byte, 8)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *kafkaReader) int16() int16 { return int16(binary.BigEndian.Uint16(r.bytes(2))) }
func (r *kafkaReader) int32() int32 { return int32(binary.BigEndian.Uint32(r.bytes(4))) }

// text reads a string; null is "".
func (r *kafkaReader) text() string { return string(r.bytes(int(max(r.int16(), 0)))) }
