package transport

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuietLogWritesOneLineASecondForEachThing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q := NewQuietLog(slog.New(slog.NewTextHandler(&out, nil)))
		for range 25 { // 2.5 s
			q.Warn("a", "a is broken")
			q.Warn("b", "b is broken")
			time.Sleep(100 * time.Millisecond)
		}
		if a, b := strings.Count(out.String(), "a is broken"), strings.Count(out.String(), "b is broken"); a != 3 || b != 3 {
			t.Errorf("%d and %d lines in 2.5 s, want 3 each", a, b)
		}
	})
}
