package conformance

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// counts is an observer that counts by name, and passes each on.
type counts struct {
	rpc.NopObserver
	say report // may be nil

	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(name string) {
	c.mu.Lock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
	c.mu.Unlock()
	if c.say != nil {
		c.say(sayCount, name)
	}
}

func (c *counts) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// sum adds up all names with the prefix.
func (c *counts) sum(prefix string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.n {
		if strings.HasPrefix(k, prefix) {
			n += v
		}
	}
	return n
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.n)
}

// Batch adds up the messages; it isn't passed on, that would be a report a batch.
func (c *counts) Batch(kind string, messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n["batched-"+kind] += messages
}

func (c *counts) HandleDone(_, _ string, _, _ time.Duration, code rpc.Code) {
	if code != rpc.CodeOK {
		c.add("handled-badly")
	}
}
func (c *counts) ReplyDropped(why rpc.ReplyDrop)             { c.add("reply-" + string(why)) }
func (c *counts) Expired(_ string, why rpc.ExpireReason)     { c.add("expired-" + string(why)) }
func (c *counts) Redelivered(string)                         { c.add("redelivered") }
func (c *counts) Duplicate(string)                           { c.add("duplicate") }
func (c *counts) DeadLettered(_ string, cause rpc.DeadCause) { c.add("dead-" + string(cause)) }
func (c *counts) LeaseLost(string)                           { c.add("lease-lost") }
