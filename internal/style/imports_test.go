package style

import (
	"slices"
	"strings"
	"testing"
)

const module = "github.com/streamerson/streamerson/"

// allowed says what a package may import of this module, by the longest prefix of its path; "*" is anything. A package
// that is not covered fails, so that a new folder gets its rule when it is made.
var allowed = map[string][]string{
	"transport":          {},
	"transport/*":        {"transport", "internal/quietconn"},
	"rpc/wire":           {},
	"rpc/*":              {"rpc", "rpc/wire", "transport"},
	"rpc":                {"transport", "rpc/wire"},
	"gateway":            {"rpc", "rpc/wire", "transport", "internal/quietconn"},
	"worker":             {"rpc", "rpc/wire", "transport"},
	"metrics":            {"rpc", "rpc/wire", "transport"},
	"config":             {},
	"conformance":        {"rpc", "rpc/wire", "transport", "conformance/*", "internal/brokers"},
	"conformance/*":      {"rpc", "rpc/wire", "transport", "conformance", "conformance/*", "internal/brokers"},
	"bench":              {"rpc", "rpc/wire", "transport", "bench/*", "internal/brokers", "internal/quietconn"},
	"bench/*":            {"rpc", "rpc/wire", "transport", "bench/*", "internal/brokers", "internal/quietconn"},
	"bench/result":       {},
	"bench/cmd/*":        {"*"},
	"internal/brokers":   {},
	"internal/quietconn": {},
	// Packages that start containers are kept out of programs by TestNoContainersInPrograms.
	"internal/*":        {"internal/*", "rpc", "rpc/wire", "transport", "transport/*"},
	"examples/*":        {"*"},
	"cmd/streamerson":   {"*"},
	"cmd/streamerson/*": {"*"},
}

// onlyIn says which packages alone may import a third party's module, so that each kind of dependency has one home.
var onlyIn = map[string][]string{
	"github.com/redis/go-redis":     {"transport/redis", "bench", "bench/*"},
	"github.com/segmentio/kafka-go": {"transport/kafka", "bench", "bench/*"},
	"github.com/twmb/franz-go":      {"transport/kafka", "bench", "bench/*"},
	"github.com/nats-io/":           {"transport/nats", "bench", "bench/*", "internal/brokers"},
	"github.com/testcontainers/":    {"internal/brokers/containers"},
	"github.com/moby/":              {"internal/brokers/containers"},
	"github.com/prometheus/":        {"metrics", "cmd/streamerson"},
	"go.opentelemetry.io/":          {"metrics", "gateway", "worker"},
	"github.com/spf13/cobra":        {"cmd/streamerson", "bench", "bench/cmd/*"},
	"github.com/goccy/go-yaml":      {"config", "bench", "bench/*", "cmd/streamerson"},
	"github.com/HdrHistogram/":      {"bench/result", "bench/*"},
	"github.com/golang-jwt/jwt":     {"gateway"},
	"github.com/Shopify/toxiproxy":  {"conformance/proxy"},
	"github.com/rs/zerolog":         {"conformance/proxy"},
}

func covers(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return pattern == path
}

func anyCovers(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, path) })
}

// ruleFor is the rule of the longest pattern that covers path.
func ruleFor(path string) (patterns []string, ok bool) {
	best := ""
	for p := range allowed {
		if covers(p, path) && len(p) > len(best) {
			best, ok = p, true
		}
	}
	return allowed[best], ok
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		rule, ok := ruleFor(path)
		if !ok {
			t.Errorf("%s: no rule says what it may import; add one to allowed", path)
			continue
		}
		for _, imp := range p.Imports {
			ours, isOurs := strings.CutPrefix(imp, module)
			switch {
			case isOurs && !anyCovers(rule, ours) && !slices.Contains(rule, "*"):
				t.Errorf("%s imports %s, which is not below it; allowed are %v", path, ours, rule)
			case !isOurs && (path == "transport" || path == "rpc/wire") && strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
				t.Errorf("%s imports %s; only the standard library is allowed there", path, imp)
			case !isOurs:
				for prefix, homes := range onlyIn {
					if strings.HasPrefix(imp, prefix) && !anyCovers(homes, path) {
						t.Errorf("%s imports %s, which only %v may", path, imp, homes)
					}
				}
			}
		}
	}
}

// TestDriversKnowOneBroker: a driver that brought a second client would make every user of the first carry it.
func TestDriversKnowOneBroker(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		if !strings.HasPrefix(path, "transport/") {
			continue
		}
		clients := map[string]bool{}
		for _, imp := range p.Imports {
			if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") && !strings.HasPrefix(imp, module) && !strings.HasPrefix(imp, "golang.org/x/") {
				parts := strings.SplitN(imp, "/", 4)
				clients[strings.Join(parts[:min(3, len(parts))], "/")] = true
			}
		}
		if len(clients) > 1 {
			t.Errorf("%s imports more than one client: %v", path, clients)
		}
	}
}

// TestNoContainersInPrograms: what starts containers brings a Docker client, which no user of the program or the library
// should carry.
func TestNoContainersInPrograms(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if ours := strings.TrimPrefix(imp, module); ours == "internal/brokers/containers" && path != "internal/brokers/brokerstest" {
				t.Errorf("%s imports %s; only internal/brokers/brokerstest may, and only tests that", path, ours)
			}
		}
	}
}

// TestTestCodeStaysOut: package testing, and what serves tests only, must not reach a user's binary.
func TestTestCodeStaysOut(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			testOnly := imp == "testing" || strings.HasPrefix(imp, "testing/") || strings.HasSuffix(imp, "test") && strings.HasPrefix(imp, module) ||
				imp == "net/http/httptest" || strings.HasPrefix(imp, "go.uber.org/goleak")
			if testOnly && !anyCovers([]string{"conformance", "conformance/*", "internal/brokers/brokerstest"}, path) {
				t.Errorf("%s imports %s outside of a test", path, imp)
			}
		}
	}
}

// TestOneFileRegistersDrivers: whoever adds a transport to a copy of the program changes one line in one file.
func TestOneFileRegistersDrivers(t *testing.T) {
	const file = "cmd/streamerson/drivers.go"
	for _, f := range goFiles(t) {
		if !strings.HasPrefix(f.path, "cmd/") || f.path == file || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, imp := range f.ast.Imports {
			if strings.HasPrefix(strings.Trim(imp.Path.Value, `"`), module+"transport/") {
				t.Errorf("%s imports %s; only %s may", f.path, imp.Path.Value, file)
			}
		}
	}
}
