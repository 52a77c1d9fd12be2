package peers

import (
	"bufio"
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/streamerson/streamerson/bench/role"
)

// Tree is a checkout of this project's source in which scripts/install-peers.sh ran.
type Tree struct {
	dir string // absolute
}

// Open finds the tree at dir, "" for the working folder. It is an error if the rivals' sources are not there; whether each is
// installed is told by Program.
func Open(dir string) (*Tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(abs, "bench", "peers", "node", "package.json")); err != nil {
		return nil, fmt.Errorf("bench: %s is not this project's source tree; run from it, or name it with --tree: %w", abs, err)
	}
	return &Tree{dir: abs}, nil
}

// Program is the program of that name, which logs to stderr. The error says what to do when it is not installed.
func (t *Tree) Program(name string, stderr io.Writer) (*role.Program, error) {
	p := &role.Program{Stderr: stderr}
	switch name {
	case ProgramGo:
		p.File = t.goProgram()
	case ProgramNode:
		p.Dir = filepath.Join(t.dir, "bench", "peers", "node")
		// kafkajs sets timers in the past, of which Node would warn each time.
		p.File, p.Args, p.Env = t.node(), []string{"main.js"}, []string{"NODE_ENV=production", "NODE_NO_WARNINGS=1"}
	case ProgramPython:
		p.Dir = filepath.Join(t.dir, "bench", "peers", "python")
		p.File, p.Args = t.python(), []string{"main.py"}
	default:
		return nil, fmt.Errorf("bench: no rival's program %q", name)
	}
	if _, err := os.Stat(p.File); err != nil {
		return nil, fmt.Errorf("bench: the %s rivals are not installed; run scripts/install-peers.sh: %w", name, err)
	}
	return p, nil
}

func (t *Tree) goProgram() string { return filepath.Join(t.dir, "bin", "peers", "go") }

func (t *Tree) python() string { return filepath.Join(t.dir, ".cache", "peers-venv", "bin", "python") }

// node is the Node that came with the rivals' packages; other systems than Linux bring their own.
func (t *Tree) node() string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	file := filepath.Join(t.dir, "bench", "peers", "node", "node_modules", "node-linux-"+arch, "bin", "node")
	if _, err := os.Stat(file); err != nil && runtime.GOOS != "linux" {
		if own, err := exec.LookPath("node"); err == nil {
			return own
		}
	}
	return file
}

// goModules are the Go rivals' own modules, and what they reach their brokers with.
var goModules = []string{
	"google.golang.org/grpc", "github.com/ThreeDotsLabs/watermill", "github.com/ThreeDotsLabs/watermill-redisstream",
	"github.com/ThreeDotsLabs/watermill-nats/v2", "github.com/ThreeDotsLabs/watermill-kafka/v3", "github.com/IBM/sarama",
	"github.com/nats-io/nats.go",
}

// Versions are those of the rivals and of what runs them, by name; a rival that is not installed is left out.
func (t *Tree) Versions(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	if info, err := buildinfo.ReadFile(t.goProgram()); err == nil {
		out["go (rivals)"] = strings.TrimPrefix(info.GoVersion, "go")
		for _, m := range info.Deps {
			for _, name := range goModules {
				if m.Path == name {
					out[strings.TrimPrefix(name, "github.com/")+" (rivals)"] = strings.TrimPrefix(m.Version, "v")
				}
			}
		}
	}
	node, err1 := t.nodeVersions()
	python, err2 := t.pythonVersions()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	maps.Copy(out, node)
	maps.Copy(out, python)
	for name, command := range map[string][]string{
		"node": {t.node(), "--version"}, "python": {t.python(), "--version"}, "nginx": {nginxFile(), "-v"},
	} {
		if text, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err == nil {
			out[name] = versionIn(string(text))
		}
	}
	return out, nil
}

// versionIn cuts it out of "nginx version: nginx/1.22.1", "Python 3.11.7" or "v24.21.0".
func versionIn(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	last := fields[len(fields)-1]
	return strings.TrimPrefix(last[strings.LastIndexByte(last, '/')+1:], "v")
}

// nodeVersions are the pins of package.json, which npm ci insists on.
func (t *Tree) nodeVersions() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "bench", "peers", "node", "package.json"))
	if err != nil {
		return nil, err
	}
	var pkg struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &pkg); err != nil {
		return nil, fmt.Errorf("package.json: %w", err)
	}
	return suffixed(pkg.Dependencies, " (npm)"), nil
}

// pythonVersions are the pins of requirements.txt.
func (t *Tree) pythonVersions() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "bench", "peers", "python", "requirements.txt"))
	if err != nil {
		return nil, err
	}
	pins := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, version, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=="); ok {
			pins[name] = version
		}
	}
	return suffixed(pins, " (PyPI)"), nil
}

func suffixed(m map[string]string, suffix string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k+suffix] = v
	}
	return out
}
