package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// Content types that the typed helpers write. They also read any application/…+json as JSON, and application/x-protobuf.
const (
	ContentTypeJSON     = "application/json"
	ContentTypeProtobuf = "application/protobuf"
	ContentTypeBytes    = "application/octet-stream"
)

// Handle registers a typed function: the body is decoded by the request's content type (JSON unless it is protobuf),
// the result is encoded in the same.
//
// Req and Resp may be anything that encoding/json takes, a protobuf message (as JSON through protojson, or as protobuf), or
// raw []byte or string, which take a body of any content type as it is; a []byte Req is valid until f returns. Resp may also
// be *Response, to set a status or headers. An empty body is taken for struct{}, any, raw types and messages. A body that
// can't be decoded is answered with CodeInvalidArgument, naming field and offset, and f is not called. The request itself is
// in RequestFrom(ctx).
func Handle[Req, Resp any](s *Server, function string, f func(ctx context.Context, req Req) (Resp, error)) {
	s.Handle(function, typed(f))
}

// Call makes a typed call: req is encoded as JSON, or as protobuf when it is a proto.Message, as it is when it is a []byte or
// string; nil sends an empty body. The reply is decoded into a Resp, by its content type, as Handle decodes a request. Any
// error is an *Error; an HTTP status of 400 and above is one, with the nearest code and the body as its text. Blocks as
// Client.Call does; a []byte req must stay unchanged until then.
func Call[Resp any](ctx context.Context, c *Client, stream, function string, req any) (Resp, error) {
	var out Resp
	contentType, body, err := encode(req, ContentTypeProtobuf)
	if err != nil {
		return out, &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf("the request, a %T, can't be encoded", req), Published: transport.OutcomeRejected, Err: err}
	}
	resp, err := c.Call(ctx, &Request{Stream: stream, Function: function, ContentType: contentType, Body: body})
	if err != nil {
		return out, err
	}
	return decodeReply[Resp](resp)
}

func decodeReply[Resp any](resp *Response) (Resp, error) {
	var out Resp
	if resp == nil {
		resp = &Response{}
	}
	if p, ok := any(&out).(**Response); ok {
		*p = resp
		return out, nil
	}
	if resp.Status >= 400 {
		const most = 512 // of a body that may be a whole HTML page
		text := strings.ToValidUTF8(string(resp.Body[:min(len(resp.Body), most)]), "")
		return out, &Error{
			Code: wire.CodeFromHTTP(resp.Status), Message: fmt.Sprintf("status %d: %s", resp.Status, text), Origin: OriginHandler,
			Published: transport.OutcomeAccepted, Header: resp.Header,
		}
	}
	if err := decode(resp.ContentType, resp.Body, &out); err != nil {
		return out, &Error{Code: CodeInternal, Message: "the reply can't be decoded", Published: transport.OutcomeAccepted, Err: err}
	}
	return out, nil
}

func typed[Req, Resp any](f func(context.Context, Req) (Resp, error)) Handler {
	return func(ctx context.Context, r *Request) (*Response, error) {
		var req Req
		if err := decode(r.ContentType, r.Body, &req); err != nil {
			return nil, &Error{Code: CodeInvalidArgument, Message: err.Error(), Origin: OriginRuntime}
		}
		resp, err := f(ctx, req)
		if err != nil {
			return nil, err
		}
		if raw, ok := any(resp).(*Response); ok {
			return raw, nil
		}
		as := ContentTypeJSON
		if formatOf(r.ContentType) == formatProtobuf {
			as = ContentTypeProtobuf
		}
		contentType, body, err := encode(resp, as)
		if err != nil {
			return nil, &Error{Code: CodeInternal, Message: fmt.Sprintf("the response, a %T, can't be encoded", resp), Origin: OriginRuntime, Err: err}
		}
		return &Response{ContentType: contentType, Body: body}, nil
	}
}

// encode returns v's bytes and their content type; messageType is the one for a protobuf message.
func encode(v any, messageType string) (contentType string, body []byte, err error) {
	switch v := v.(type) {
	case nil, struct{}:
		return "", nil, nil
	case []byte:
		return ContentTypeBytes, v, nil
	case string:
		return ContentTypeBytes, []byte(v), nil
	case proto.Message:
		if messageType == ContentTypeProtobuf {
			body, err = proto.Marshal(v)
		} else {
			body, err = protojson.Marshal(v)
		}
		return messageType, body, err
	}
	body, err = json.Marshal(v)
	return ContentTypeJSON, body, err
}

// decode reads body into v. Its errors are for the caller who sent the body.
func decode[T any](contentType string, body []byte, v *T) error {
	switch p := any(v).(type) {
	case *[]byte:
		*p = body
		return nil
	case *string:
		*p = string(body)
		return nil
	case *struct{}, *any:
		if len(body) == 0 {
			return nil
		}
	}
	format := formatOf(contentType)
	m := message(v)
	switch {
	case m != nil && len(body) == 0 && (contentType == "" || format == formatProtobuf):
		return nil
	case m != nil && format == formatProtobuf:
		if err := proto.Unmarshal(body, m); err != nil {
			return fmt.Errorf("the body is not a protobuf %s: %s", m.ProtoReflect().Descriptor().FullName(), plain(err))
		}
		return nil
	case format == formatProtobuf:
		return fmt.Errorf("content type %q is not taken here: send %s", contentType, ContentTypeJSON)
	case format != formatJSON && m != nil:
		return fmt.Errorf("content type %.100q is not taken here: send %s or %s", contentType, ContentTypeJSON, ContentTypeProtobuf)
	case format != formatJSON:
		return fmt.Errorf("content type %.100q is not taken here: send %s", contentType, ContentTypeJSON)
	case len(body) == 0:
		return errors.New("the body is empty: send JSON")
	case m != nil:
		// Unknown fields are passed over, as encoding/json and protobuf's own format do, so that callers may be newer.
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
			return fmt.Errorf("the body is not the JSON of a %s: %s", m.ProtoReflect().Descriptor().FullName(), plain(err))
		}
		return nil
	}
	return jsonError(json.Unmarshal(body, v))
}

// message returns the message behind v to decode into, made new when T is a pointer, or nil when T is none.
func message[T any](v *T) proto.Message {
	if m, ok := any(v).(proto.Message); ok {
		return m
	}
	m, ok := any(*v).(proto.Message)
	if !ok {
		return nil
	}
	m = m.ProtoReflect().Type().New().Interface() // the type is known of a nil pointer too
	*v = m.(T)
	return m
}

// plain undoes the no-break spaces that the protobuf package puts into its errors so that nobody compares them.
func plain(err error) string { return strings.ReplaceAll(err.Error(), "\u00a0", " ") }

func jsonError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := "the body"
		if e.Field != "" {
			field = "field " + e.Field
		}
		return fmt.Errorf("%s takes %s, not a JSON %s (at byte %d)", field, e.Type, e.Value, e.Offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the body is not JSON: %w (at byte %d)", err, e.Offset)
	}
	return fmt.Errorf("the body can't be taken: %w", err)
}

type format uint8

const (
	formatOther format = iota
	formatJSON
	formatProtobuf
)

// formatOf reads a content type, without its parameters; none means JSON.
func formatOf(contentType string) format {
	switch contentType { // as Call writes them: without a cost
	case "", ContentTypeJSON:
		return formatJSON
	case ContentTypeProtobuf:
		return formatProtobuf
	}
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	switch {
	case t == ContentTypeJSON, strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"):
		return formatJSON
	case t == ContentTypeProtobuf, t == "application/x-protobuf":
		return formatProtobuf
	}
	return formatOther
}
