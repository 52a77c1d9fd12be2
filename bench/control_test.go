package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/parts"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

// TestLegsAnswerEveryCall runs the legs as the processes that they are.
func TestLegsAnswerEveryCall(t *testing.T) {
	b := testRedis(t)
	for _, leg := range redisLegs(testSelf(t), b, false) {
		if leg.about.Name == LegStreams || leg.about.Rival { // a thousand streams take their time to make; rivals have their own tests
			continue
		}
		t.Run(leg.about.Name, func(t *testing.T) {
			if err := leg.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			stopped := false
			defer func() {
				if !stopped {
					_ = leg.Stop()
				}
			}()
			v, err := leg.Run(t.Context(), load.Load{Calls: 2000, InFlight: 64, Size: 128})
			if err != nil {
				t.Fatal(err)
			}
			if v.OK != 2000 {
				t.Errorf("got %+v", v.Result)
			}
			for _, s := range leg.steps {
				if v.PartCPU[s.part] <= 0 {
					t.Errorf("no CPU time for %s: %v", s.part, v.PartCPU)
				}
			}
			if leg.broker != nil {
				least := int64(2001)
				if leg.spec.Pack { // 32 share a message at most
					least = 2000/32 + 1
				}
				if got := v.Broker.Commands["xadd"]; got < least || got > 4000 || v.PartCPU[result.PartBroker] <= 0 || v.Broker.BytesIn < 4000*128 {
					t.Errorf("the broker tells %+v, want 2,000 XADD of requests, fewer where they are packed, and at most as many of replies, which may be packed", v.Broker)
				}
				conns, err := leg.connections(t.Context())
				if err != nil || conns[result.PartClient] < 1 || conns[result.PartWorker] < 1 {
					t.Errorf("connections %v, %v", conns, err)
				}
			}
			stopped = true
			if err := leg.Stop(); err != nil {
				t.Error(err)
			}
			if leg.broker == nil {
				return
			}
			left, err := b.streams(t.Context(), leg.about.Name)
			if err != nil || len(left) == 0 {
				t.Fatalf("streams %v, %v", left, err)
			}
			for _, st := range left {
				if st.Pending+st.Unread != 0 {
					t.Errorf("after the run %+v", st)
				}
			}
		})
	}
}

// TestHandWorkerKeepsWhatItCouldNotAnswer: the control acks a request only when its reply was accepted.
func TestHandWorkerKeepsWhatItCouldNotAnswer(t *testing.T) {
	b, ctx := testRedis(t), t.Context()
	spec := role.Spec{URL: b.srv.URL, Stream: streamPrefix + LegHand}
	w, err := parts.StartHandWorker(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parts.StartHandClient(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if r := load.Drive(ctx, c.Caller, load.Load{Calls: 100, InFlight: 10, Size: 64}); r.OK != 100 {
		t.Fatalf("got %+v", r)
	}
	// A request whose reply address is a key of another type: its XADD is refused, while the pipeline goes on.
	if err := b.rdb.Set(ctx, "not-a-stream", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	frame := append(append(bytes.Repeat([]byte{1}, 8), byte(len("not-a-stream"))), "not-a-stream"...)
	if err := b.rdb.XAdd(ctx, &redis.XAddArgs{Stream: spec.Stream, Values: []any{"m", frame}}).Err(); err != nil {
		t.Fatal(err)
	}
	if r := load.Drive(ctx, c.Caller, load.Load{Calls: 100, InFlight: 10, Size: 64}); r.OK != 100 {
		t.Fatalf("got %+v", r)
	}
	for _, p := range []*role.Part{c, w} {
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	left, err := b.streams(ctx, LegHand)
	if err != nil || len(left) != 1 || left[0].Pending != 1 {
		t.Errorf("want the one unanswered request pending, got %+v, %v", left, err)
	}
}

func TestRunWritesTablesAndJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	var out, progress bytes.Buffer
	r, err := run(t.Context(), Options{
		Rounds: 2, Visit: 50 * time.Millisecond, Size: 128, Legs: []string{LegHTTP + "@1", LegHand + "@256"}, JSON: file, Progress: &progress,
	}, []group{redisGroup}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() != 0 || len(r.Cells) != 2 || len(r.Cells[0].Rounds) != 2 {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{"rpc ÷ direct net/http", "not measured", "appendonly yes, appendfsync everysec", "0 lost", LegHand} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, out.String())
		}
	}
	back, err := result.Load(file)
	if err != nil || len(back.Cells) != 2 || back.Cells[1].Rounds[0].Calls != r.Cells[1].Rounds[0].Calls || back.Meta.Versions["redis"] == "" {
		t.Errorf("the file holds %+v, %v", back, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for flag, o := range map[string]Options{
		"--rounds": {Rounds: 0, Visit: time.Second, Size: 128},
		"--visit":  {Rounds: 1, Visit: 0, Size: 128},
		"--size":   {Rounds: 1, Visit: time.Second, Size: 7},
		"--calls":  {Rounds: 1, Visit: time.Second, Size: 128, Calls: -1},
	} {
		if _, err := run(t.Context(), o, []group{redisGroup}, os.Stderr); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}
