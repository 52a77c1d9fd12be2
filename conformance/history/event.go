package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"

	"github.com/streamerson/streamerson/rpc/wire"
)

// Kind says what happened.
type Kind string

// The kinds. Where a comment names no field, the event has ID and Stream.
const (
	// Intent: the message is about to be published; What says which kind of message it is.
	Intent Kind = "intent"
	// Published: the outcome of that, in Outcome; Code of its error.
	Published Kind = "published"
	// Delivered: a consumer got the entry. Group, Entry, Attempt.
	Delivered Kind = "delivered"
	// Settled: a settlement has ended. Group, Entry, Attempt, Verb, Code ("" for success); What is the kind of its reply.
	Settled Kind = "settled"
	// Arrived: a message was read from a private lane.
	Arrived Kind = "arrived"
	// Began and Ended: a handler ran. Group, Attempt; Code is what it returned ("" for success).
	Began Kind = "began"
	Ended Kind = "ended"
	// Answered: a call ended with what its worker said; Code is "" for success. GivenUp: it ended without that, with Code.
	Answered Kind = "answered"
	GivenUp  Kind = "given-up"
	// Acknowledged: a one-way message was reported to its sender as accepted. One that was not is GivenUp.
	Acknowledged Kind = "acknowledged"
	// Dropped: the client dropped a reply that nobody waited for; Code says why. It has no ID.
	Dropped Kind = "dropped"
	// Left: the message is still there at the end of the run.
	Left Kind = "left"
	// Expired: a worker settled a call unrun, Code says why; it has no ID.
	Expired Kind = "expired"
	// Serving: the process's server records its runs. It has only a Group.
	Serving Kind = "serving"
	// Joined: the process's client counts the replies that it drops; Closed: the process's driver was closed in an orderly way,
	// so that all it did is recorded. Neither has an ID or Stream.
	Joined Kind = "joined"
	Closed Kind = "closed"
	// Noted is anything for people: a fault that was made, a seed. Code has the text.
	Noted Kind = "noted"
)

// What a message is: one of wire's kinds, or no frame of ours at all.
const (
	whatRequest = "request"
	whatSend    = "send"
	whatReply   = "reply"
	whatDead    = "dead"
	whatRaw     = "raw"
)

// Event is one line of a history.
type Event struct {
	// Time is in Unix nanoseconds, by the process's clock; it never goes back within a process.
	Time    int64  `json:"t"`
	Process string `json:"p"`
	Kind    Kind   `json:"k"`
	// ID is the request's id, or what stands for it in a body that is no frame: such bodies have to differ.
	ID      string `json:"id,omitempty"`
	What    string `json:"what,omitempty"`
	Stream  string `json:"stream,omitempty"`
	Lane    bool   `json:"lane,omitempty"`
	Key     string `json:"key,omitempty"`
	Group   string `json:"group,omitempty"`
	Entry   string `json:"entry,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Verb    string `json:"verb,omitempty"`
	Code    string `json:"code,omitempty"`
}

// rawIDMax is how much of a body that is no frame stands in its id.
const rawIDMax = 40

// identify tells what a body is.
func identify(body []byte) (what, id string) {
	if kind, wid, ok := wire.Peek(body); ok {
		return kind.String(), wid.String()
	}
	if len(body) <= rawIDMax {
		return whatRaw, strconv.QuoteToASCII(string(body))
	}
	h := fnv.New64a()
	_, _ = h.Write(body) // never fails
	return whatRaw, fmt.Sprintf("%s… %d bytes, %x", strconv.QuoteToASCII(string(body[:8])), len(body), h.Sum64())
}

// pieces calls f with what a body holds: the members of a pack, or itself. A pack that can't be unpacked is a message like any other.
func pieces(body []byte, f func(what, id string)) {
	if wire.Unpack(body, func(m []byte) { f(identify(m)) }) != nil {
		f(identify(body))
	}
}

// Read reads events, one a line. A last line that is cut, by the process's death, is ignored; any other that is bad is an error.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		var e Event
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return nil, fmt.Errorf("history: line %d: %w", n, err)
		}
		events = append(events, e)
	}
}
