package peers

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/bench/result"
)

// tree is this one, seen from the package.
func tree(t *testing.T) *Tree {
	t.Helper()
	tr, err := Open(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEachRivalIsDescribedAndThere: its row can be told from others, says what it keeps and what was tuned, and its program
// knows its roles.
func TestEachRivalIsDescribedAndThere(t *testing.T) {
	sources := map[string]string{
		ProgramGo:     source(t, "go/main.go"),
		ProgramNode:   source(t, "node/nest.js") + source(t, "node/moleculer.js"),
		ProgramPython: source(t, "python/main.py"),
	}
	classes := []string{result.ClassNone, result.ClassMemory, result.ClassProcess, result.ClassSync, result.ClassQuorum}
	names := map[string]bool{}
	for _, r := range Rivals {
		l := r.Leg
		if names[l.Name] || l.Title == "" || l.Tuned == "" || !l.Rival || !slices.Contains(classes, l.Class) {
			t.Errorf("%s: %+v", l.Name, l)
		}
		names[l.Name] = true
		if l.Broker != "" && l.Durability == "" {
			t.Errorf("%s doesn't say what it keeps", l.Name)
		}
		for _, role := range []string{r.Worker, r.Client} {
			if text := sources[r.Program]; !strings.Contains(text, `"`+role+`"`) && !strings.Contains(text, `'`+role+`'`) {
				t.Errorf("%s: the %s program has no role %q", l.Name, r.Program, role)
			}
		}
	}
	for _, broker := range []string{"", Redis, NATS, Kafka} {
		if len(On(broker)) == 0 {
			t.Errorf("no rival on %q", broker)
		}
	}
}

// TestPinsAreExact: what is measured is what the results say.
func TestPinsAreExact(t *testing.T) {
	v, err := tree(t).Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"@nestjs/microservices (npm)", "moleculer (npm)", "faststream (PyPI)", "redis (PyPI)"} {
		if v[name] == "" {
			t.Errorf("no version of %s in %v", name, v)
		}
	}
	for name, version := range v {
		if strings.ContainsAny(version, "^~*<>") || version == "" {
			t.Errorf("%s is pinned to %q", name, version)
		}
	}
	if lock := source(t, "node/package-lock.json"); strings.Contains(lock, `"resolved"`) {
		t.Error("package-lock.json names a registry's host; keep omit-lockfile-registry-resolved in .npmrc")
	}
}

func TestVersionsAreCutOut(t *testing.T) {
	for text, want := range map[string]string{"nginx version: nginx/1.22.1\n": "1.22.1", "Python 3.11.7\n": "3.11.7", "v24.21.0\n": "24.21.0", "": ""} {
		if got := versionIn(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

func TestAMissingRivalSaysWhatToDo(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "--tree") {
		t.Errorf("a folder that is no tree: %v", err)
	}
	empty := &Tree{dir: t.TempDir()}
	for _, name := range []string{ProgramGo, ProgramPython} {
		if _, err := empty.Program(name, os.Stderr); err == nil || !strings.Contains(err.Error(), "scripts/install-peers.sh") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := empty.Program("cobol", os.Stderr); err == nil {
		t.Error("an unknown program is no error")
	}
}

func TestNginxKeepsConnectionsToItsUpstream(t *testing.T) {
	var out bytes.Buffer
	err := nginxConfig.Execute(&out, map[string]any{"Upstream": "127.0.0.1:1", "Keep": nginxKeep, "Listen": "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server 127.0.0.1:1;", "listen 127.0.0.1:2;", "keepalive 256;", "access_log off;", `proxy_set_header Connection "";`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the configuration lacks %q:\n%s", want, out.String())
		}
	}
}
