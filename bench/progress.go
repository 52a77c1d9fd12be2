package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/streamerson/streamerson/bench/result"
)

// progress shows how far a group is: one line that is written over on a terminal, and a line now and then elsewhere.
type progress struct {
	w        io.Writer
	prefix   string
	terminal bool
	began    time.Time
	last     time.Time
	width    int
}

// quietEvery is how often progress is told where lines can't be written over.
const quietEvery = 10 * time.Second

func newProgress(w io.Writer, prefix string) *progress {
	p := &progress{w: w, prefix: prefix, began: time.Now()}
	inner := w
	if s, ok := w.(*sharedWriter); ok {
		inner = s.w
	}
	if f, ok := inner.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

func (p *progress) say(what string) {
	line := p.prefix + ": " + what
	if !p.terminal {
		_, _ = fmt.Fprintln(p.w, line)
		p.last = time.Now()
		return
	}
	_, _ = fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// visit is told before each visit.
func (p *progress) visit(done, all int, c *result.Cell) {
	if !p.terminal && time.Since(p.last) < quietEvery {
		return
	}
	left := ""
	if done > 0 {
		d := time.Since(p.began) / time.Duration(done) * time.Duration(all-done)
		left = fmt.Sprintf(", about %v left", d.Round(time.Second))
	}
	p.say(fmt.Sprintf("visit %d of %d, %s%s", done+1, all, c.Name(), left))
}

func (p *progress) end() {
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
	}
	_, _ = fmt.Fprintf(p.w, "%s: done in %v\n", p.prefix, time.Since(p.began).Round(time.Second))
}
