package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLegsAnswerEveryCall runs the legs as the processes that they are.
func TestLegsAnswerEveryCall(t *testing.T) {
	b := testRedis(t)
	for _, leg := range redisLegs(testSelf(t), b, Wiring{}) {
		t.Run(leg.name, func(t *testing.T) {
			if err := leg.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			stopped := false
			defer func() {
				if !stopped {
					_ = leg.Stop()
				}
			}()
			v, err := leg.Run(t.Context(), Load{Calls: 2000, InFlight: 64, Size: 128})
			if err != nil {
				t.Fatal(err)
			}
			if v.OK != 2000 {
				t.Errorf("got %+v", v.LoadResult)
			}
			for _, s := range leg.steps {
				if v.PartCPU[s.part] <= 0 {
					t.Errorf("no CPU time for %s: %v", s.part, v.PartCPU)
				}
			}
			if leg.broker != nil {
				if got := v.Broker.Commands["xadd"]; got != 4000 || v.PartCPU[PartBroker] <= 0 || v.Broker.BytesIn < 4000*128 {
					t.Errorf("the broker tells %+v, want 4000 XADD", v.Broker)
				}
				conns, err := leg.connections(t.Context())
				if err != nil || conns[PartClient] < 1 || conns[PartWorker] < 1 {
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
			left, err := b.streams(t.Context(), leg.name)
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
	spec := roleSpec{URL: b.srv.URL, Stream: streamPrefix + LegHand}
	w, err := startHandWorker(ctx, spec, Wiring{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := startHandClient(ctx, spec, Wiring{})
	if err != nil {
		t.Fatal(err)
	}
	if r := drive(ctx, c.caller, Load{Calls: 100, InFlight: 10, Size: 64}); r.OK != 100 {
		t.Fatalf("got %+v", r)
	}
	// A request whose reply address is a key of another type: its XADD is refused, while the pipeline goes on.
	if err := b.rdb.Set(ctx, "not-a-stream", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	frame := append(append(bytes.Repeat([]byte{1}, 8), byte(len("not-a-stream"))), "not-a-stream"...)
	if err := b.rdb.XAdd(ctx, handAdd(spec.Stream, frame, false)).Err(); err != nil {
		t.Fatal(err)
	}
	if r := drive(ctx, c.caller, Load{Calls: 100, InFlight: 10, Size: 64}); r.OK != 100 {
		t.Fatalf("got %+v", r)
	}
	for _, p := range []*part{c, w} {
		if err := p.close(ctx); err != nil {
			t.Error(err)
		}
	}
	left, err := b.streams(ctx, LegHand)
	if err != nil || len(left) != 1 || left[0].Pending != 1 {
		t.Errorf("want the one unanswered request pending, got %+v, %v", left, err)
	}
}

func TestARoleEndsWithItsParent(t *testing.T) {
	p, err := testSelf(t).start(t.Context(), "server", roleSpec{Role: "http-server"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.in.Close(); err != nil { // all that a dead parent leaves
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		p.kill()
		t.Error("the role process outlives its parent")
	}
}

func TestAnUnknownRoleIsNamed(t *testing.T) {
	var log bytes.Buffer
	s := testSelf(t)
	s.Stderr = &log
	if _, err := s.start(t.Context(), "p", roleSpec{Role: "nonsense"}); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(log.String(), `no role "nonsense"`) {
		t.Errorf("the log says %q", log.String())
	}
}

func TestRunRedisWritesTablesAndJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	var out, progress bytes.Buffer
	r, err := RunRedis(t.Context(), Options{
		Rounds: 2, Visit: 50 * time.Millisecond, Size: 128, Legs: []string{LegHTTP, LegHand}, JSON: file, Progress: &progress,
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() != 0 || len(r.Cells) != 3 || len(r.Cells[0].Rounds) != 2 {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{"rpc ÷ direct net/http", "not measured", "appendonly yes, appendfsync everysec", "0 lost", LegHand} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || len(back.Cells) != 3 || back.Cells[1].Rounds[0].Calls != r.Cells[1].Rounds[0].Calls {
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
		if _, err := RunRedis(t.Context(), o, os.Stderr); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}
