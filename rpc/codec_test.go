package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/sourcecontextpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/streamerson/streamerson/transport"
)

type user struct {
	Name string         `json:"name"`
	Age  int            `json:"age"`
	Tags map[string]int `json:"tags,omitempty"`
	Home struct {
		Street string `json:"street"`
	} `json:"home"`
}

// roundTrip sends in through a typed handler, as Call and Handle do, without a broker between.
func roundTrip[Req, Resp any](t *testing.T, in any, f func(context.Context, Req) (Resp, error)) (Resp, error) {
	t.Helper()
	contentType, body, err := encode(in, ContentTypeProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := typed(f)(t.Context(), &Request{ContentType: contentType, Body: body})
	if err != nil {
		var zero Resp
		return zero, err
	}
	return decodeReply[Resp](resp)
}

func echo[T any](_ context.Context, v T) (T, error) { return v, nil }

func TestTypedRoundTrip(t *testing.T) {
	u := user{Name: "ada", Age: 36, Tags: map[string]int{"x": 1}}
	if got, err := roundTrip(t, u, echo[user]); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("struct: %+v %v", got, err)
	}
	if got, err := roundTrip(t, &u, echo[*user]); err != nil || !reflect.DeepEqual(got, &u) {
		t.Errorf("pointer: %+v %v", got, err)
	}
	if got, err := roundTrip(t, []int{1, 2}, echo[[]int]); err != nil || !reflect.DeepEqual(got, []int{1, 2}) {
		t.Errorf("slice: %v %v", got, err)
	}
	if got, err := roundTrip(t, json.RawMessage(`{"a": 1}`), echo[json.RawMessage]); err != nil || string(got) != `{"a":1}` {
		t.Errorf("raw JSON: %s %v", got, err)
	}
	if got, err := roundTrip(t, []byte{0, 255}, echo[[]byte]); err != nil || string(got) != "\x00\xff" {
		t.Errorf("bytes: %q %v", got, err)
	}
	if got, err := roundTrip(t, "žluť", echo[string]); err != nil || got != "žluť" {
		t.Errorf("string: %q %v", got, err)
	}
	for _, nothing := range []any{nil, struct{}{}} {
		if _, err := roundTrip(t, nothing, echo[struct{}]); err != nil {
			t.Errorf("struct{} from %v: %v", nothing, err)
		}
	}
	if got, err := roundTrip(t, nil, echo[any]); err != nil || got != nil {
		t.Errorf("any: %v %v", got, err)
	}
	m := durationpb.New(90 * time.Second)
	if got, err := roundTrip(t, m, echo[*durationpb.Duration]); err != nil || !proto.Equal(got, m) {
		t.Errorf("message: %v %v", got, err)
	}
	if got, err := roundTrip(t, nil, echo[*durationpb.Duration]); err != nil || !proto.Equal(got, &durationpb.Duration{}) {
		t.Errorf("message from nothing: %v %v", got, err)
	}
}

func TestTypedMessageByJSON(t *testing.T) {
	h := typed(echo[*durationpb.Duration])
	for contentType, body := range map[string]string{"application/json": `"90s"`, "": `"90s"`, "Application/JSON; charset=utf-8": ` "90s" `, "application/problem+json": `"90s"`} {
		resp, err := h(t.Context(), &Request{ContentType: contentType, Body: []byte(body)})
		if err != nil || resp.ContentType != ContentTypeJSON || string(resp.Body) != `"90s"` {
			t.Errorf("%q: %+v %v", contentType, resp, err)
		}
	}
	wireForm, _ := proto.Marshal(durationpb.New(90 * time.Second))
	for _, contentType := range []string{ContentTypeProtobuf, "application/x-protobuf", "application/protobuf; proto=google.protobuf.Duration"} {
		resp, err := h(t.Context(), &Request{ContentType: contentType, Body: wireForm})
		if err != nil || resp.ContentType != ContentTypeProtobuf || string(resp.Body) != string(wireForm) {
			t.Errorf("%q: %+v %v", contentType, resp, err)
		}
	}
	// JSON fields of a newer caller are passed over, as in every other format.
	source := typed(echo[*sourcecontextpb.SourceContext])
	if resp, err := source(t.Context(), &Request{ContentType: ContentTypeJSON, Body: []byte(`{"fileName":"a","fromTheFuture":{"x":1}}`)}); err != nil || !strings.Contains(string(resp.Body), `"a"`) {
		t.Errorf("an unknown field: %+v %v", resp, err)
	}
	// What is no message is answered in JSON, whatever the caller spoke.
	s := typed(func(_ context.Context, v *wrapperspb.StringValue) (user, error) { return user{Name: v.Value}, nil })
	resp, err := s(t.Context(), &Request{ContentType: ContentTypeProtobuf, Body: mustProto(t, wrapperspb.String("eve"))})
	if err != nil || resp.ContentType != ContentTypeJSON || !strings.Contains(string(resp.Body), `"name":"eve"`) {
		t.Errorf("a plain answer to a protobuf request: %+v %v", resp, err)
	}
	if _, err := protojson.Marshal(&structpb.Value{}); err == nil {
		t.Fatal("an empty Value was thought not to encode")
	}
	bad := typed(func(context.Context, struct{}) (*structpb.Value, error) { return &structpb.Value{}, nil })
	if _, err := bad(t.Context(), &Request{}); CodeOf(err) != CodeInternal {
		t.Errorf("a response that can't be encoded: %v", err)
	}
}

func mustProto(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTypedBadBody(t *testing.T) {
	called := false
	asUser := typed(func(_ context.Context, u user) (user, error) { called = true; return u, nil })
	asMessage := typed(func(_ context.Context, d *structpb.Struct) (struct{}, error) { called = true; return struct{}{}, nil })
	asNothing := typed(func(context.Context, struct{}) (struct{}, error) { called = true; return struct{}{}, nil })
	for _, c := range []struct {
		name, contentType, body string
		h                       Handler
		says                    []string
	}{
		{"field of the wrong type", ContentTypeJSON, `{"name":"a","age":"old"}`, asUser, []string{"field age", "int", "string", "byte 23"}},
		{"nested field", ContentTypeJSON, `{"home":{"street":7}}`, asUser, []string{"field home.street", "number", "byte"}},
		{"out of range", ContentTypeJSON, `{"age":1e99}`, asUser, []string{"field age", "1e99"}},
		{"array for an object", ContentTypeJSON, `[1]`, asUser, []string{"the body", "array"}},
		{"syntax", ContentTypeJSON, `{"name":}`, asUser, []string{"not JSON", "byte 9"}},
		{"cut", ContentTypeJSON, `{"name":"a`, asUser, []string{"not JSON", "byte 10"}},
		{"trailing", ContentTypeJSON, `{} {}`, asUser, []string{"not JSON", "byte 4"}},
		{"empty", ContentTypeJSON, ``, asUser, []string{"empty"}},
		{"empty, no type", "", ``, asUser, []string{"empty"}},
		{"form", "application/x-www-form-urlencoded", `name=a`, asUser, []string{"x-www-form-urlencoded", ContentTypeJSON}},
		{"protobuf for a struct", ContentTypeProtobuf, "\x08\x01", asUser, []string{ContentTypeProtobuf, "send " + ContentTypeJSON}},
		{"bad protobuf", ContentTypeProtobuf, "\xff\xff", asMessage, []string{"google.protobuf.Struct"}},
		{"bad protobuf JSON", ContentTypeJSON, `{"a":`, asMessage, []string{"google.protobuf.Struct", "unexpected"}},
		{"empty JSON of a message", ContentTypeJSON, ``, asMessage, []string{"empty"}},
		{"text for a message", "text/plain", `x`, asMessage, []string{"text/plain", ContentTypeJSON, ContentTypeProtobuf}},
		{"a body where none is taken", ContentTypeJSON, `[]`, asNothing, []string{"array"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.h(t.Context(), &Request{ContentType: c.contentType, Body: []byte(c.body)})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != CodeInvalidArgument || e.Origin != OriginRuntime {
				t.Fatalf("got %#v", err)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Message, s) {
					t.Errorf("%q does not say %q", e.Message, s)
				}
			}
		})
	}
	if called {
		t.Error("a function was called with a body that can't be decoded")
	}
}

func TestTypedErrorsAndRawResponse(t *testing.T) {
	want := Errorf(CodeNotFound, "no user %d", 7)
	if _, err := roundTrip(t, nil, func(context.Context, struct{}) (user, error) { return user{}, want }); !errors.Is(err, want) {
		t.Errorf("a function's error came back as %v", err)
	}
	raw, err := roundTrip(t, nil, func(context.Context, struct{}) (*Response, error) {
		return &Response{Status: 404, Body: []byte("x")}, nil
	})
	if err != nil || raw.Status != 404 {
		t.Errorf("%+v %v", raw, err)
	}
	_, err = decodeReply[user](&Response{Status: 404, Header: Header{{Name: "a", Value: "b"}}, Body: []byte("no such user")})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != CodeNotFound || e.Origin != OriginHandler || !strings.Contains(e.Message, "no such user") || e.Header.Get("a") != "b" {
		t.Errorf("an HTTP error: %#v", err)
	}
	_, err = decodeReply[user](&Response{ContentType: "text/html", Body: []byte("<html>")})
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeInternal || e.Published != transport.OutcomeAccepted || !strings.Contains(err.Error(), "text/html") {
		t.Errorf("a reply of the wrong type: %v", err)
	}
	if _, err := decodeReply[struct{}](nil); err != nil {
		t.Error(err)
	}
	if _, err := decodeReply[[]byte](&Response{ContentType: "image/png", Body: []byte{1}}); err != nil {
		t.Error(err)
	}
	if _, err := Call[user](t.Context(), nil, "s", "f", func() {}); CodeOf(err) != CodeInvalidArgument {
		t.Errorf("a request that can't be encoded: %v", err)
	}
}
