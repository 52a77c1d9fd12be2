package files_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A copy of the program with one more line in drivers.go certifies this transport, worker processes that are killed included.
func TestProgramWithThisTransport(t *testing.T) {
	original, err := filepath.Abs("../../cmd/streamerson/drivers.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const before, imports = "	transport.Default.Register(\"mem\", mem.Open)\n", "import (\n"
	changed := strings.Replace(string(text), before, before+"	transport.Default.Register(\"files\", files.Open)\n", 1)
	changed = strings.Replace(changed, imports, imports+"	files \"github.com/streamerson/streamerson/examples/transport-files\"\n", 1)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The go command takes the changed file for the original: the copy is made without copying.
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: write("drivers.go", []byte(changed))}})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if out, err := exec.Command("go", "build", "-overlay", write("overlay.json", overlay), "-o", program, "../../cmd/streamerson").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "conform", "--transport", "files://"+filepath.Join(dir, "spool"), "--only", "roundtrip,calls-1000,worker-killed", "--slow", "3")
	cmd.Dir = dir // no streamerson.yaml lies there
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "3 passed, 0 failed") {
		t.Errorf("%v\n%s", err, out)
	}
}
