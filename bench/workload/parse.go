package workload

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Open reads the file of that name.
func Open(file string) (*Workload, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("workload: %w; `bench --list` shows the presets", err)
	}
	return Parse(file, text)
}

// Parse is Open for a text in memory; file is its name in errors. An error names file, line and field of everything that is
// wrong.
func Parse(file string, text []byte) (*Workload, error) {
	w := &Workload{}
	if err := yaml.UnmarshalWithOptions(text, w, yaml.Strict()); err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, fmt.Errorf("workload: %s:%d: %s", file, at.GetToken().Position.Line, at.GetMessage())
		}
		return nil, fmt.Errorf("workload: %s: %w", file, err)
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("workload: %s: %w", file, err)
	}
	w.fill()
	var bad []error
	for _, p := range w.check() {
		bad = append(bad, fmt.Errorf("workload: %s%s: %s %s", file, lineOf(tree, p.field), p.field, p.message))
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return w, nil
}

// lineOf is ":12" for the field's place, or that of what is around it; "" when it stands nowhere in the file.
func lineOf(tree *ast.File, field string) string {
	for field != "" {
		if path, err := yaml.PathString("$." + field); err == nil {
			if node, err := path.FilterFile(tree); err == nil && node != nil && node.GetToken() != nil {
				return fmt.Sprintf(":%d", node.GetToken().Position.Line)
			}
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return ""
}
