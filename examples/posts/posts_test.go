package posts_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/examples/posts"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
	"github.com/streamerson/streamerson/transport/redis"
	"github.com/streamerson/streamerson/worker"
)

var (
	cheap = posts.Costs{Image: 5 * time.Millisecond, Get: 100 * time.Microsecond, List: 100 * time.Microsecond}
	quiet = slog.New(slog.DiscardHandler)
)

// overHTTP serves the three services on three ports and returns a client for which their names are those addresses.
func overHTTP(t *testing.T) *http.Client {
	hosts := map[string]string{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, hosts[addr])
	}}}
	services := posts.New(client, cheap)
	for name, h := range services.ByStream() {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		hosts[name+":80"] = s.Listener.Addr().String()
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// overStreams serves them from one worker and returns a client for which their names are streams.
func overStreams(t *testing.T, d transport.Driver) *http.Client {
	calls, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: worker.RoundTripper(calls, worker.RoundTripperOptions{})}
	handlers := map[string]rpc.Handler{}
	cfg := worker.Config{Slots: 16, Logger: quiet}
	for name, h := range posts.New(client, cheap).ByStream() {
		handlers[name] = worker.HTTP(h, worker.HTTPOptions{Logger: quiet})
		cfg.Streams = append(cfg.Streams, rpc.StreamConfig{Name: name, Min: 2})
	}
	w, err := worker.New(d, cfg, func(s *rpc.Server) { s.Fallback(worker.ByStream(handlers)) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, calls.Close(context.Background()), d.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	for w.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return client
}

func overRedis(t *testing.T) *http.Client {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec", Own: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	var r transport.Registry
	r.Register("redis", redis.Open)
	d, err := r.Open(ctx, server.URL, transport.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return overStreams(t, d)
}

// picture is a PNG with a different colour in each corner.
func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), 100, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type answer struct {
	status int
	header string
	body   []byte
}

func ask(t *testing.T, client *http.Client, method, url, ctype string, body []byte) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if ctype != "" {
		r.Header.Set("Content-Type", ctype)
	}
	r.Header.Set("Accept-Encoding", "identity")
	res, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	res.Header.Del("Connection") // net/http closes after a body that was too large; a stream has nothing to close
	if method != http.MethodHead {
		res.Header.Del("Content-Length") // framing: net/http sends more than 2 KiB in chunks, a message always has a length
	}
	var h strings.Builder
	for _, k := range slices.Sorted(maps.Keys(res.Header)) {
		h.WriteString(k + ": " + strings.Join(res.Header[k], ", ") + "\n")
	}
	return answer{res.StatusCode, h.String(), b}
}

// The same requests get the same answers over HTTP, over the in-process broker and over a real Redis.
func TestEveryWayAnswersTheSame(t *testing.T) {
	small, wide := picture(t, 64, 48), picture(t, 800, 600)
	requests := []struct {
		name, method, url, ctype string
		body                     []byte
		status                   int
		contains                 string
	}{
		{"a post with author and comments", "GET", "http://posts/posts/7", "", nil, 200, `"author":{"id":22,"name":"Edsger W."}`},
		{"a post without comments", "GET", "http://posts/posts/8", "", nil, 200, `"id":8`},
		{"no such post", "GET", "http://posts/posts/999", "", nil, 404, "no post"},
		{"not a number", "GET", "http://posts/posts/x%2Fy", "", nil, 404, `x/y`},
		{"all posts", "GET", "http://posts/posts", "", nil, 200, `"id":20`},
		{"a new post", "POST", "http://posts/posts", "application/json", []byte(`{"title":"New","author":3}`), 201, `"id":101`},
		{"the new post", "GET", "http://posts/posts/101", "", nil, 200, `"title":"New"`},
		{"by nobody", "POST", "http://posts/posts", "application/json", []byte(`{"title":"New","author":999}`), 422, "no user 999"},
		{"without title", "POST", "http://posts/posts", "application/json", []byte(`{}`), 422, "no title"},
		{"not JSON", "POST", "http://posts/posts", "application/json", []byte(`{`), 400, "can't be read"},
		{"too large", "POST", "http://posts/posts", "application/json", bytes.Repeat([]byte(" "), 70<<10), 413, "too large"},
		{"a user", "GET", "http://users/users/7", "", nil, 200, `"id":7`},
		{"some users", "GET", "http://users/users?ids=1,2,x,999", "", nil, 200, `[{"id":1`},
		{"comments", "GET", "http://comments/comments?post=7", "", nil, 200, `"name":"`},
		{"comments of nothing", "GET", "http://comments/comments", "", nil, 400, "post=7"},
		{"a small picture", "POST", "http://images/posts/image", "image/png", small, 200, "\x89PNG"},
		{"a picture", "POST", "http://images/posts/image?width=200", "image/png", wide, 200, "\x89PNG"},
		{"no picture", "POST", "http://images/posts/image", "image/png", []byte("GIF89a"), 415, "not a PNG"},
		{"half a picture", "POST", "http://images/posts/image", "image/png", wide[:len(wide)/2], 400, "damaged"},
		{"a bad width", "POST", "http://images/posts/image?width=0", "image/png", small, 400, "width"},
		{"wrong method", "DELETE", "http://posts/posts/7", "", nil, 405, "Method Not Allowed"},
		{"wrong path", "GET", "http://posts/nothing", "", nil, 404, "404"},
		{"only the header", "HEAD", "http://users/users/7", "", nil, 200, ""},
	}
	ways := []struct {
		name   string
		client *http.Client
	}{{"http", overHTTP(t)}, {"mem", overStreams(t, mem.New())}, {"redis", overRedis(t)}}
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			var first answer
			for i, w := range ways {
				got := ask(t, w.client, r.method, r.url, r.ctype, r.body)
				if got.status != r.status || !strings.Contains(string(got.body), r.contains) {
					t.Errorf("%s: got %d %.200q, want %d with %q", w.name, got.status, got.body, r.status, r.contains)
				}
				if i == 0 {
					first = got
				} else if got.status != first.status || got.header != first.header || !bytes.Equal(got.body, first.body) {
					t.Errorf("%s: got %d\n%s%.300q\nover HTTP %d\n%s%.300q", w.name, got.status, got.header, got.body, first.status, first.header, first.body)
				}
			}
		})
	}
	t.Run("the pictures are really processed", func(t *testing.T) {
		for _, w := range ways {
			got := ask(t, w.client, "POST", "http://images/posts/image?width=200", "image/png", wide)
			img, err := png.Decode(bytes.NewReader(got.body))
			if err != nil || img.Bounds() != image.Rect(0, 0, 200, 150) {
				t.Fatalf("%s: %v, %v", w.name, img, err)
			}
			if !strings.Contains(got.header, "X-Picture-Source: 800x600") {
				t.Errorf("%s: %s", w.name, got.header)
			}
			left, _, _, _ := img.At(5, 75).RGBA()
			right, _, _, _ := img.At(194, 75).RGBA()
			if left>>8 > 20 || right>>8 < 235 {
				t.Errorf("%s: red goes from %d to %d: this is another picture", w.name, left>>8, right>>8)
			}
		}
	})
}

// The work follows the cost, whatever the picture's size, and ends early when nobody waits for it.
func TestWorkFollowsTheCost(t *testing.T) {
	passes := func(cost time.Duration, w, h int) string {
		rec := httptest.NewRecorder()
		s := posts.New(nil, posts.Costs{Image: cost})
		s.Posts.ServeHTTP(rec, httptest.NewRequest("POST", "/posts/image", bytes.NewReader(picture(t, w, h))))
		return rec.Header().Get("X-Picture-Passes")
	}
	if few, many, small := passes(10*time.Millisecond, 100, 100), passes(20*time.Millisecond, 100, 100), passes(10*time.Millisecond, 50, 50); few != "29" || many != "58" || small != "117" {
		t.Errorf("passes %s, %s for twice the cost, %s for a quarter of the picture", few, many, small)
	}
	sharp, soft := contrast(t, time.Nanosecond), contrast(t, 10*time.Millisecond)
	if sharp < 100 || soft > sharp/2 {
		t.Errorf("one pass leaves a contrast of %d, many leave %d", sharp, soft)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := posts.New(nil, posts.Costs{Image: time.Hour, List: time.Hour})
		for _, r := range []*http.Request{httptest.NewRequest("GET", "/posts", nil), httptest.NewRequest("POST", "/posts/image", bytes.NewReader(picture(t, 10, 10)))} {
			s.Posts.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		}
	}()
	time.AfterFunc(20*time.Millisecond, cancel)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("an hour of work goes on for nobody")
	}
}

// contrast processes a black picture with a white half and returns the step that is left between the two.
func contrast(t *testing.T, cost time.Duration) int {
	img := image.NewGray(image.Rect(0, 0, 100, 100))
	for i := range img.Pix {
		if i%100 >= 50 {
			img.Pix[i] = 255
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	posts.New(nil, posts.Costs{Image: cost}).Posts.ServeHTTP(rec, httptest.NewRequest("POST", "/posts/image", &b))
	out, err := png.Decode(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	left, _, _, _ := out.At(47, 50).RGBA()
	right, _, _, _ := out.At(52, 50).RGBA()
	return int(right>>8) - int(left>>8)
}

func TestHugePicturesAreRefused(t *testing.T) {
	head := picture(t, 1, 1)
	// The size stands in the header, which has a checksum: a small file that claims 60,000 × 60,000 pixels.
	rec := httptest.NewRecorder()
	posts.New(nil, cheap).Posts.ServeHTTP(rec, httptest.NewRequest("POST", "/posts/image", bytes.NewReader(claim(head, 60_000))))
	if rec.Code != http.StatusRequestEntityTooLarge || !strings.Contains(rec.Body.String(), "pixels") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

func TestAServiceThatIsAway(t *testing.T) {
	down := &http.Client{Transport: worker.RoundTripper(nobody{}, worker.RoundTripperOptions{})}
	rec := httptest.NewRecorder()
	posts.New(down, cheap).Posts.ServeHTTP(rec, httptest.NewRequest("GET", "/posts/7", nil))
	var body map[string]string
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != http.StatusServiceUnavailable || body["error"] == "" {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

type nobody struct{}

func (nobody) Call(context.Context, *rpc.Request) (*rpc.Response, error) {
	return nil, &rpc.Error{Code: rpc.CodeUnavailable, Message: "nobody serves this"}
}

func TestCostsFromEnv(t *testing.T) {
	t.Setenv("POSTS_IMAGE_COST", "3ms")
	c, err := posts.CostsFromEnv()
	if err != nil || c.Image != 3*time.Millisecond || c.List != posts.DefaultCosts().List {
		t.Errorf("got %+v, %v", c, err)
	}
	t.Setenv("POSTS_GET_COST", "fast")
	if _, err := posts.CostsFromEnv(); err == nil || !strings.Contains(err.Error(), "POSTS_GET_COST") {
		t.Errorf("got %v", err)
	}
}

// claim changes the width and height in a PNG's header, and its checksum.
func claim(data []byte, size uint32) []byte {
	b := bytes.Clone(data)
	binary.BigEndian.PutUint32(b[16:], size)
	binary.BigEndian.PutUint32(b[20:], size)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}
