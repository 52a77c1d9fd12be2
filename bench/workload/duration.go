package workload

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Duration is a time.Duration that is written as "10s" and whose errors tell their line.
type Duration time.Duration

// D is the duration itself.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is as time.Duration's.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	text := n.GetToken().Value
	v, err := time.ParseDuration(text)
	if err != nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%s: %q is no duration; write it as 10s or 500ms", n.GetPath(), text), Token: n.GetToken()}
	}
	*d = Duration(v)
	return nil
}
