// Package style has only tests: they hold the whole module to the rules of its design that no compiler checks.
package style

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	// maxLines is the longest a file may be, medianLines the median over all of them: a reader holds one file in mind.
	maxLines    = 600
	medianLines = 200
)

// root is the module's folder, seen from this package.
var root = filepath.Join("..", "..")

type pkg struct {
	ImportPath, Name string
	Imports          []string
}

var packagesOnce = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Imports", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

// packages lists the module's packages with their imports outside of tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := packagesOnce()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

type goFile struct {
	path  string // relative to the module, with slashes
	lines int
	ast   *ast.File
	fset  *token.FileSet
}

var tracked = sync.OnceValues(func() ([]string, error) {
	// Files that are not committed yet count as well; what .gitignore names does not.
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err == nil {
		return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00"), nil
	}
	// Without git, as in an unpacked archive, every file counts.
	var files []string
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir() && (rel == ".git" || rel == "bin" || rel == ".cache" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir():
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	return files, err
})

// files lists the module's own files by their paths, slashed and relative; those that were deleted but not committed are left out.
func files(t *testing.T) []string {
	t.Helper()
	all, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(f string) bool {
		_, err := os.Stat(filepath.Join(root, f))
		return err != nil
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for _, f := range files(t) {
		if !strings.HasSuffix(f, ".go") || strings.Contains(f, "testdata/") {
			continue
		}
		data, fset := read(t, f), token.NewFileSet()
		tree, err := parser.ParseFile(fset, f, data, parser.ParseComments)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if !ast.IsGenerated(tree) {
			out = append(out, goFile{path: f, lines: bytes.Count(data, []byte("\n")), ast: tree, fset: fset})
		}
	}
	if len(out) == 0 {
		t.Fatal("no Go files found")
	}
	return out
}

func TestFileLength(t *testing.T) {
	var lengths []int
	for _, f := range goFiles(t) {
		lengths = append(lengths, f.lines)
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d; split it by what it does", f.path, f.lines, maxLines)
		}
	}
	slices.Sort(lengths)
	if m := lengths[len(lengths)/2]; m > medianLines {
		t.Errorf("the median file has %d lines, more than %d", m, medianLines)
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		for _, vague := range []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "lib", "base"} {
			if p.Name == vague {
				t.Errorf("package %s says nothing of what it does; name it after that", p.ImportPath)
			}
		}
	}
}

// TestNoInit: importing a package must do nothing by itself.
func TestNoInit(t *testing.T) {
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function; call what it does from main", f.fset.Position(fn.Pos()))
			}
		}
	}
}

// TestPackagesAreDocumented: each package says in one place what it is for.
func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		dir := filepath.ToSlash(filepath.Dir(f.path))
		documented[dir] = documented[dir] || f.ast.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment; say in doc.go what it is for", dir)
		}
	}
}

// machinePaths are folders of somebody's own machine: what names them works nowhere else.
var machinePaths = regexp.MustCompile(`(^|[^\w.$}/])/(work|root|home/\w+|Users/\w+)/\w`)

func TestNoPathsOfOneMachine(t *testing.T) {
	for _, f := range files(t) {
		data := read(t, f)
		if bytes.IndexByte(data, 0) >= 0 || f == "LICENSE" {
			continue // a picture or a binary sample
		}
		for i, line := range strings.Split(string(data), "\n") {
			if machinePaths.MatchString(line) {
				t.Errorf("%s:%d names a path of one machine: %.120s", f, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestDecisionsAreLinked: a decision that nothing points to is not found when it matters.
func TestDecisionsAreLinked(t *testing.T) {
	var design string
	var adrs []string
	for _, f := range files(t) {
		switch {
		case f == "docs/DESIGN.md":
			design = string(read(t, f))
		case strings.HasPrefix(f, "docs/adr/") && strings.HasSuffix(f, ".md"):
			adrs = append(adrs, strings.TrimPrefix(f, "docs/"))
		}
	}
	for _, a := range adrs {
		if !strings.Contains(design, "("+a+")") {
			t.Errorf("docs/%s is not linked in docs/DESIGN.md; add [title](%s)", a, a)
		}
	}
}

// TestNoUnfinishedWork: what is left to do belongs in the issue tracker, where it is seen.
func TestNoUnfinishedWork(t *testing.T) {
	mark := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, f := range goFiles(t) {
		for _, group := range f.ast.Comments {
			if mark.MatchString(group.Text()) {
				t.Errorf("%s: %.100s", f.fset.Position(group.Pos()), group.Text())
			}
		}
	}
}
