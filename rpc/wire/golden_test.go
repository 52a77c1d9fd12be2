package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

var update = flag.Bool("update", false, "write testdata/golden anew from the vectors in this file")

// vector is one file of testdata/golden, in a form that any language reads: numbers that a JSON reader may round are
// strings, bytes are hexadecimal, and a text too long to print is {"repeat": …, "times": …}.
type vector struct {
	About    string       `json:"about"`
	Envelope jsonEnvelope `json:"envelope"`
	// Frame is the encoding in hexadecimal; a long one has only its length and SHA-256.
	Frame  string `json:"frame,omitempty"`
	Length int    `json:"length"`
	SHA256 string `json:"sha256"`
}

type jsonEnvelope struct {
	Kind           string    `json:"kind"`
	Code           string    `json:"code"`
	Inferred       bool      `json:"inferred"`
	Packs          bool      `json:"packs"`
	Status         uint16    `json:"status"`
	Attempt        uint16    `json:"attempt"`
	ID             string    `json:"id"`
	Deadline       int64     `json:"deadline,string"`
	Budget         uint32    `json:"budget"`
	QueueMicros    uint32    `json:"queueMicros"`
	HandlerMicros  uint32    `json:"handlerMicros"`
	ReplyTo        text      `json:"replyTo"`
	Stream         text      `json:"stream"`
	Function       text      `json:"function"`
	ContentType    text      `json:"contentType"`
	Trace          text      `json:"trace"`
	TraceState     text      `json:"traceState"`
	IdempotencyKey text      `json:"idempotencyKey"`
	Message        text      `json:"message"`
	Headers        [][2]text `json:"headers"`
	Body           text      `json:"body"` // hexadecimal
}

type text string

type repeated struct {
	Repeat string `json:"repeat"`
	Times  int    `json:"times"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if len(t) > 256 && strings.Count(string(t), string(t[0])) == len(t) {
		return json.Marshal(repeated{string(t[0]), len(t)})
	}
	return json.Marshal(string(t))
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var r repeated
		err := json.Unmarshal(b, &r)
		*t = text(strings.Repeat(r.Repeat, r.Times))
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}

func toJSON(e *wire.Envelope) jsonEnvelope {
	j := jsonEnvelope{
		Kind: e.Kind.String(), Code: e.Code.String(), Inferred: e.Inferred, Packs: e.Packs, Status: e.Status, Attempt: e.Attempt, ID: e.ID.String(),
		Deadline: e.Deadline, Budget: e.Budget, QueueMicros: e.QueueMicros, HandlerMicros: e.HandlerMicros,
		ReplyTo: text(e.ReplyTo), Stream: text(e.Stream), Function: text(e.Function), ContentType: text(e.ContentType), Trace: text(e.Trace),
		TraceState: text(e.TraceState), IdempotencyKey: text(e.IdempotencyKey), Message: text(e.Message), Body: text(hex.EncodeToString(e.Body)),
		Headers: [][2]text{},
	}
	for _, f := range e.Headers {
		j.Headers = append(j.Headers, [2]text{text(f.Name), text(f.Value)})
	}
	return j
}

func fromJSON(t *testing.T, j *jsonEnvelope) *wire.Envelope {
	t.Helper()
	e := &wire.Envelope{
		Inferred: j.Inferred, Packs: j.Packs, Status: j.Status, Attempt: j.Attempt, Deadline: j.Deadline, Budget: j.Budget,
		QueueMicros: j.QueueMicros, HandlerMicros: j.HandlerMicros, ReplyTo: string(j.ReplyTo), Stream: string(j.Stream),
		Function: string(j.Function), ContentType: string(j.ContentType), Trace: string(j.Trace), TraceState: string(j.TraceState),
		IdempotencyKey: string(j.IdempotencyKey), Message: string(j.Message), Body: []byte{},
	}
	for k := wire.KindRequest; k.String() != "unknown"; k++ {
		if k.String() == j.Kind {
			e.Kind = k
		}
	}
	var ok bool
	var err error
	if e.Code, ok = wire.ParseCode(j.Code); !ok {
		t.Fatalf("code %q", j.Code)
	}
	if e.ID, err = wire.ParseID(j.ID); err != nil {
		t.Fatal(err)
	}
	for _, f := range j.Headers {
		e.Headers = append(e.Headers, wire.Field{Name: string(f[0]), Value: string(f[1])})
	}
	if e.Body, err = hex.DecodeString(string(j.Body)); err != nil {
		t.Fatal(err)
	}
	return e
}

func id(b byte) wire.ID {
	var id wire.ID
	for i := range id {
		id[i] = b + byte(i)
	}
	return id
}

// pack is the body of a pack, whatever its kind.
func pack(members ...*wire.Envelope) []byte {
	frame := wire.AppendPack(nil, wire.KindReplies, wire.ID{})
	head := len(frame)
	for _, e := range members {
		frame = wire.AppendMember(frame, wire.Append(nil, e))
	}
	return frame[head:]
}

// goldenVectors are what -update writes; the test reads the files, so a change here without -update fails.
func goldenVectors() map[string]struct {
	about string
	e     *wire.Envelope
} {
	type v = struct {
		about string
		e     *wire.Envelope
	}
	const ms = 1_790_000_000_000 // in 2026
	long := strings.Repeat("s", wire.MaxString)
	dead := wire.Append(nil, &wire.Envelope{Kind: wire.KindSend, ID: id(0x50), Attempt: 3, Stream: "mail", Function: "welcome", Body: []byte("{}")})
	return map[string]v{
		"empty": {"the smallest frame: a request with nothing set", &wire.Envelope{Kind: wire.KindRequest}},
		"request": {"a usual request", &wire.Envelope{
			Kind: wire.KindRequest, ID: id(0x10), Attempt: 1, Deadline: ms + 10_000, Budget: 10_000, ReplyTo: "lane.gw-1.7f3a", Stream: "posts",
			Function: "GET /posts/{id}", ContentType: "application/json", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Headers: wire.Header{{Name: "x-streamerson-path", Value: "/posts/7"}}, Body: []byte(`{"id":7}`),
		}},
		"request-packs": {"a request whose sender reads packed replies", &wire.Envelope{
			Kind: wire.KindRequest, Packs: true, ID: id(0x10), Attempt: 1, ReplyTo: "lane.gw-1.7f3a", Function: "f",
		}},
		"replies": {"two replies to one lane in one frame: the body is, for each, its length and its frame", &wire.Envelope{
			Kind: wire.KindReplies, Body: pack(
				&wire.Envelope{Kind: wire.KindReply, ID: id(0x10), Status: 201, Body: bytes.Repeat([]byte{9}, 100)},
				&wire.Envelope{Kind: wire.KindReply, ID: id(0x30), Code: wire.CodeNotFound, Message: "no post 7"},
			),
		}},
		"requests": {"two requests of one caller to one stream in one frame, which has an id of its own", &wire.Envelope{
			Kind: wire.KindRequests, ID: id(0x70), Body: pack(
				&wire.Envelope{Kind: wire.KindRequest, Packs: true, ID: id(0x10), Attempt: 1, Deadline: ms + 10_000, Budget: 10_000, ReplyTo: "lane.gw-1.7f3a", Function: "f", Body: bytes.Repeat([]byte{9}, 100)},
				&wire.Envelope{Kind: wire.KindRequest, Packs: true, ID: id(0x30), Attempt: 1, Deadline: ms + 5_000, Budget: 5_000, ReplyTo: "lane.gw-1.7f3a", Function: "g"},
			),
		}},
		"send": {"a one-way message, with an idempotency key and no deadline", &wire.Envelope{
			Kind: wire.KindSend, ID: id(0x20), Attempt: 1, Stream: "mail", Function: "welcome", IdempotencyKey: "user-7", Body: []byte("hi"),
		}},
		"reply": {"a handler's answer with an HTTP status", &wire.Envelope{
			Kind: wire.KindReply, ID: id(0x10), Status: 201, QueueMicros: 850, HandlerMicros: 12_345, ContentType: "application/json", Body: []byte(`{"ok":true}`),
		}},
		"reply-error": {"an error that the worker's runtime found, not the handler", &wire.Envelope{
			Kind: wire.KindReply, ID: id(0x10), Code: wire.CodeUnimplemented, Inferred: true, Message: "no function \"GET /nope\" is served here",
		}},
		"cancel": {"nobody waits for this id any more", &wire.Envelope{Kind: wire.KindCancel, ID: id(0x10)}},
		"dead": {"a dead letter: the body is the frame that was given up, the headers say why", &wire.Envelope{
			Kind: wire.KindDead, ID: id(0x50), Stream: "mail", Function: "welcome", Headers: wire.Header{{Name: "x-streamerson-dead-cause", Value: "failed"}}, Body: dead,
		}},
		"all-fields": {"every field set, repeated and empty header fields, in the encoder's order", &wire.Envelope{
			Kind: wire.KindReply, Code: wire.CodeUnauthenticated, Inferred: true, Status: 418, Attempt: 2, ID: id(0xf0), Deadline: ms, Budget: 1,
			QueueMicros: 2, HandlerMicros: 3, ReplyTo: "a", Stream: "b", Function: "c", ContentType: "d", Trace: "e", TraceState: "f", IdempotencyKey: "g", Message: "h",
			Headers: wire.Header{{Name: "Set-Cookie", Value: "a=1"}, {Name: "set-cookie", Value: "b=2"}, {Name: "empty", Value: ""}, {Name: "", Value: "no name"}},
			Body:    []byte{0, 1, 2, 0xff},
		}},
		"unicode": {"lengths count bytes of UTF-8, not characters", &wire.Envelope{
			Kind: wire.KindRequest, ID: id(1), Function: "größe/猫/🐈", IdempotencyKey: "\x00\n", Headers: wire.Header{{Name: "x-ñ", Value: "日本語"}}, Body: []byte("žluťoučký"),
		}},
		"lengths": {"lengths of 127, 128 and 300 bytes: one byte, then two", &wire.Envelope{
			Kind: wire.KindRequest, ID: id(2), Stream: strings.Repeat("a", 127), Function: strings.Repeat("b", 128), Message: strings.Repeat("c", 300), Body: bytes.Repeat([]byte{9}, 300),
		}},
		"max-numbers": {"every number at its largest", &wire.Envelope{
			Kind: wire.KindReply, Code: wire.CodeUnauthenticated, Status: math.MaxUint16, Attempt: math.MaxUint16, ID: wire.ID(bytes.Repeat([]byte{0xff}, 16)),
			Deadline: math.MaxInt64, Budget: math.MaxUint32, QueueMicros: math.MaxUint32, HandlerMicros: math.MaxUint32,
		}},
		"min-deadline": {"a negative deadline, in two's complement", &wire.Envelope{Kind: wire.KindRequest, Deadline: math.MinInt64}},
		"max-limits": {"every length at its limit: 8 strings of 8 KiB, 64 KiB of header fields", &wire.Envelope{
			Kind: wire.KindRequest, ID: id(3), ReplyTo: long, Stream: long, Function: long, ContentType: long, Trace: long, TraceState: long, IdempotencyKey: long, Message: long,
			Headers: wire.Header{{Name: strings.Repeat("n", 1024), Value: strings.Repeat("v", wire.MaxFieldBytes-1024)}}, Body: []byte{1},
		}},
		"max-fields": {"256 header fields, all empty", &wire.Envelope{Kind: wire.KindRequest, ID: id(4), Headers: make(wire.Header, wire.MaxFields)}},
	}
}

func TestGolden(t *testing.T) {
	vectors := goldenVectors()
	if *update {
		for name, v := range vectors {
			frame := wire.Append(nil, v.e)
			sum := sha256.Sum256(frame)
			out := vector{About: v.about, Envelope: toJSON(v.e), Length: len(frame), SHA256: hex.EncodeToString(sum[:])}
			if len(frame) <= 2048 {
				out.Frame = hex.EncodeToString(frame)
			}
			b, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join("testdata", "golden", name+".json"), append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err != nil || len(files) != len(vectors) {
		t.Fatalf("%d golden files for %d vectors (%v): run go test -update", len(files), len(vectors), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			want := fromJSON(t, &v.Envelope)
			frame := wire.Append(nil, want)
			sum := sha256.Sum256(frame)
			if got := hex.EncodeToString(frame); v.Frame != "" && got != v.Frame || hex.EncodeToString(sum[:]) != v.SHA256 || len(frame) != v.Length {
				t.Fatalf("encoded as %.400s (%d bytes), want %.400s (%d bytes)", got, len(frame), v.Frame, v.Length)
			}
			if err := wire.CheckLimits(want); err != nil {
				t.Fatal(err)
			}
			var got wire.Envelope
			if err := wire.Decode(&got, frame); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&got, want) {
				t.Fatalf("decoded as %+v, want %+v", got, *want)
			}
			if current, ok := vectors[name]; !ok || !bytes.Equal(wire.Append(nil, current.e), frame) {
				t.Fatalf("the file differs from its vector: the format changed, or run go test -update")
			}
		})
	}
}

// TestReference checks the Python implementation of SPEC.md, which shares no code with this one, against the same files.
func TestReference(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	out, err := exec.Command(python, filepath.Join("testdata", "ref.py"), "testdata").CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestSpecExample: the bytes that SPEC.md explains are those of the golden request.
func TestSpecExample(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(spec), "## An example, byte by byte")
	if !ok {
		t.Fatal("SPEC.md has no example")
	}
	var frame strings.Builder
	for line := range strings.Lines(example) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		for word := range strings.FieldsSeq(line[:min(len(line), 41)]) {
			if _, err := hex.DecodeString(word); err == nil && len(word) == 2 {
				frame.WriteString(word)
			}
		}
	}
	if want := hex.EncodeToString(wire.Append(nil, goldenVectors()["request"].e)); frame.String() != want {
		t.Errorf("SPEC.md's example is\n%s, the golden request\n%s", frame.String(), want)
	}
}
