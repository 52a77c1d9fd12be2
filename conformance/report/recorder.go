package report

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/streamerson/streamerson/conformance"
)

const failMark = "FAIL: "

// recorder is the conformance.TB of a run outside of `go test`.
type recorder struct {
	mu    sync.Mutex
	lines []string
	first string // failure
	end   conformance.Result
}

var _ conformance.TB = (*recorder)(nil)

func (t *recorder) Helper() {}

func (t *recorder) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
}

func (t *recorder) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if t.first == "" {
		t.first = text
	}
	t.lines = append(t.lines, failMark+text)
}

func (t *recorder) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *recorder) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first != ""
}

// recoverPanic makes a panic of the scenario, or of the driver under it, a failure of this scenario alone.
func (t *recorder) recoverPanic() {
	if p := recover(); p != nil {
		t.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

func (t *recorder) onResult(r conformance.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = r
}

// fill says in e what was recorded. A failure counts in any case, also one after the scenario gave its result.
func (t *recorder) fill(e *Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Outcome, e.Reason = t.end.Outcome, t.end.Reason
	e.Output = t.lines[:len(t.lines):len(t.lines)] // a scenario that was left alone may write on
	if t.first != "" || e.Outcome == "" {
		e.Outcome = conformance.Failed
		e.Reason = firstLine(t.first)
	}
}

// reasonLength is how many characters of a failure its one line shows; Entry.Output has all.
const reasonLength = 300

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > reasonLength {
		return string(r[:reasonLength]) + "…"
	}
	return s
}
