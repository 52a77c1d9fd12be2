//go:build !race && linux && amd64

package gates

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// codecInstructions bounds what one frame of a 128-byte call costs, in instructions on amd64: 352 and 1,005 are seen,
// with Go 1.26; the tenth of slack is for another version of its compiler.
var codecInstructions = map[string]float64{"append": 385, "decode": 1_105}

// codecRuns is how often each is run: Decode's allocations take new memory each few thousand bytes, which is one part in a
// thousand then.
const codecRuns = 4_000

// TestGateCodecInstructions counts by valgrind, whose figure is the same for the same program whatever else the machine does.
func TestGateCodecInstructions(t *testing.T) {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		t.Fatal("valgrind is not in PATH, and counts the codec's instructions here: run `apt-get install valgrind` (make test does it)")
	}
	program := filepath.Join(t.TempDir(), "codec")
	if out, err := exec.Command("go", "build", "-o", program, "./codec").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, most := range codecInstructions {
		n := (instructions(t, valgrind, program, name, codecRuns) - instructions(t, valgrind, program, name, 0)) / codecRuns
		t.Logf("%s: %.1f instructions", name, n)
		if n > most {
			t.Errorf("%s takes %.1f instructions, want at most %.0f", name, n, most)
		}
	}
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

// instructions that measured takes in one run of the program, with all that it calls.
func instructions(t *testing.T, valgrind, program, name string, runs int) float64 {
	t.Helper()
	cmd := exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=main.measured", program, name, strconv.Itoa(runs))
	// Signals between the runtime's threads end callgrind 3.19 with an assertion of its own, and one thread has no need of them.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("valgrind: %v\n%s", err, out)
	}
	m := collected.FindSubmatch(out)
	if m == nil {
		t.Fatalf("valgrind says no count:\n%s", out)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
