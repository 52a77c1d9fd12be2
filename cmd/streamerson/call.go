package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/worker"
)

type callFlags struct {
	data, contentType, key string
	headers                []string
	timeout                time.Duration
	oneWay, times          bool
}

func callCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call STREAM FUNCTION",
		Short: "Make one call from the shell and print the answer",
		Long: `Publishes one request on a stream, as a service would, and prints the reply's body. FUNCTION is a function's name, or a
request line for a worker that serves HTTP.

It exits with 0 when the call succeeded, and with 20 + its code otherwise; an HTTP status from 400 up counts as the code that
is nearest to it.`,
		Example: `  streamerson call posts 'GET /posts/7'
  streamerson call posts 'POST /posts' --data '{"title": "On queues"}' --header content-type=application/json
  streamerson call images resize --data @photo.png --content-type image/png > small.png
  echo '{}' | streamerson call audit record --data - --one-way`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return runCall(cmd, args[0], args[1], f) },
	}
	cmd.Flags().StringVarP(&f.data, "data", "d", "", "the body: text, @FILE, or - for standard input")
	cmd.Flags().StringVar(&f.contentType, "content-type", "", "the body's content type (default: application/json if it begins with { or [)")
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "a header, name=value; may be given several times")
	cmd.Flags().StringVar(&f.key, "key", "", "idempotency key")
	cmd.Flags().DurationVar(&f.timeout, "timeout", rpc.DefaultTimeout, "how long to wait for the reply")
	cmd.Flags().BoolVar(&f.oneWay, "one-way", false, "don't wait for a reply, only until the broker has the message")
	cmd.Flags().BoolVarP(&f.times, "verbose", "v", false, "print the result, the reply's headers and the times to standard error")
	cmd.Flags().String("group", "", "group of workers (setting worker.group)")
	return cmd
}

func runCall(cmd *cobra.Command, stream, function string, f callFlags) error {
	cfg, err := loadConfig(cmd, config.UseTransport)
	if err != nil {
		return err
	}
	req, err := f.request(cmd.InOrStdin(), stream, function)
	if err != nil {
		return usageError(err)
	}
	ctx := cmd.Context()
	d, err := openShared(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeQuietly(d.Close)
	client, err := rpc.NewClient(ctx, d, rpc.ClientConfig{Name: "call", Group: cfg.Worker.Group, Logger: quietLogger})
	if err != nil {
		return err
	}
	defer closeQuietly(client.Close)
	if f.oneWay {
		return client.Send(ctx, req)
	}
	resp, err := client.Call(ctx, req)
	if err != nil {
		return err
	}
	return f.print(cmd, resp)
}

// request is what the flags and arguments ask for.
func (f callFlags) request(stdin io.Reader, stream, function string) (*rpc.Request, error) {
	if err := transport.CheckName(stream); err != nil {
		return nil, err
	}
	req := &rpc.Request{Stream: stream, Function: function, ContentType: f.contentType, IdempotencyKey: f.key, Timeout: f.timeout}
	if f.timeout <= 0 {
		return nil, errors.New("--timeout must be more than 0, such as 5s")
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--header %q is not name=value", h)
		}
		if strings.EqualFold(name, "content-type") {
			req.ContentType = value
			continue
		}
		req.Header = append(req.Header, rpc.Field{Name: strings.ToLower(name), Value: value})
	}
	if method, target, ok := strings.Cut(function, " "); ok {
		u, err := url.ParseRequestURI(target)
		if err != nil || method != strings.ToUpper(method) {
			return nil, fmt.Errorf("%q is neither a function's name nor a request line such as GET /posts/7", function)
		}
		req.Function = worker.FunctionHTTP
		req.Header = append(req.Header, rpc.Field{Name: rpc.HeaderMethod, Value: method}, rpc.Field{Name: rpc.HeaderPath, Value: u.EscapedPath()})
		if u.RawQuery != "" {
			req.Header = append(req.Header, rpc.Field{Name: rpc.HeaderQuery, Value: u.RawQuery})
		}
	}
	var err error
	if req.Body, err = readData(f.data, stdin); err != nil {
		return nil, err
	}
	if req.ContentType == "" && len(req.Body) > 0 && (req.Body[0] == '{' || req.Body[0] == '[') {
		req.ContentType = "application/json"
	}
	return req, nil
}

func readData(data string, stdin io.Reader) ([]byte, error) {
	switch {
	case data == "-":
		return io.ReadAll(stdin)
	case strings.HasPrefix(data, "@"):
		b, err := os.ReadFile(data[1:])
		if err != nil {
			return nil, fmt.Errorf("--data %s: %w", data, err)
		}
		return b, nil
	}
	return []byte(data), nil
}

// print writes the body to standard output, and what --verbose asks for to standard error.
func (f callFlags) print(cmd *cobra.Command, resp *rpc.Response) error {
	if resp == nil {
		resp = &rpc.Response{}
	}
	status := resp.Status
	if status == 0 {
		status = 200
	}
	if f.times {
		w, t := cmd.ErrOrStderr(), resp.Timing
		fmt.Fprintf(w, "status %d, %d bytes of %q\n", status, len(resp.Body), resp.ContentType)
		for _, h := range resp.Header {
			fmt.Fprintf(w, "%s: %s\n", h.Name, h.Value)
		}
		fmt.Fprintf(w, "total %s = publish %s + queue %s + handler %s + reply %s\n", short(t.Total), short(t.Publish), short(t.Queue), short(t.Handler), short(t.Reply()))
	}
	if _, err := cmd.OutOrStdout().Write(resp.Body); err != nil {
		return err
	}
	if code := wire.CodeFromHTTP(status); code != rpc.CodeOK {
		return &exitError{err: fmt.Errorf("status %d", status), code: exitCall + int(code)}
	}
	return nil
}

func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}

// openShared opens a broker that other processes can reach as well.
func openShared(ctx context.Context, cfg *config.Config) (transport.Driver, error) {
	if inOneProcess(cfg.Transport.URL) {
		return nil, usageError(errMemAlone)
	}
	return openDriver(ctx, cfg, transport.Options{Logger: quietLogger})
}

func closeQuietly(f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = f(ctx) // the answer is printed; what is left goes with the process
}
