package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position tells where a setting came from: a place in the file, or the variable or flag that set it.
type Position struct {
	File         string
	Line, Column int
	// Source is "STREAMERSON_GATEWAY_LISTEN" or "--listen", and empty for the file.
	Source string
}

func (p Position) String() string {
	switch {
	case p.Source != "":
		return p.Source
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	default:
		return p.File
	}
}

// Problem is one thing that is wrong.
type Problem struct {
	Position
	// Path is the setting, "gateway.routes[2].match"; empty when the file is not YAML at all.
	Path string
	// Message says what is wrong and what to do, in one line.
	Message string
}

func (p Problem) String() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{p.Position.String(), p.Path, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Error is everything that is wrong with a configuration, in the order of the file.
type Error struct {
	Problems []Problem
}

// Error has one line for each problem: file:line:column: setting: what is wrong and what to do.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// asError sorts problems by their place and wraps them; nil when there are none.
func asError(ps []Problem) error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Problems: ps}
}
