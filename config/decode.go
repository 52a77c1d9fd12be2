package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

var (
	typeDuration = reflect.TypeFor[Duration]()
	typeSize     = reflect.TypeFor[Size]()
)

// decoder fills structs from a syntax tree. It goes on after a problem, so that a person sees all of them at once; that is
// why the tree is walked here, and not by the yaml library's own decoder, which stops at the first.
type decoder struct {
	file     string
	expand   func(string) (string, error)
	anchors  map[string]ast.Node
	problems []Problem
	// pos is the place of each setting by its path: of a single value itself, of a section, list or map its key.
	pos map[string]Position
}

func newDecoder(file string, expand func(string) (string, error)) *decoder {
	return &decoder{file: file, expand: expand, anchors: map[string]ast.Node{}, pos: map[string]Position{}}
}

// document decodes data into v, a struct that has its defaults.
func (d *decoder) document(data []byte, v reflect.Value) {
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p := Problem{Position: Position{File: d.file, Line: 1, Column: 1}, Message: "this is not YAML: " + firstLine(err.Error())}
		if e, ok := errors.AsType[yaml.Error](err); ok {
			p.Message = "this is not YAML: " + firstLine(e.GetMessage())
			if t := e.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
		}
		d.problems = append(d.problems, p)
		return
	}
	seen := false
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if seen {
			d.report("", doc.Body, "a second document begins here; put everything in one")
			return
		}
		seen = true
		d.value("", v, doc.Body)
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (d *decoder) at(n ast.Node) Position {
	p := Position{File: d.file, Line: 1, Column: 1}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // a block mapping's own token is its first colon
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}

func (d *decoder) report(path string, n ast.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{Position: d.at(n), Path: path, Message: fmt.Sprintf(format, args...)})
}

// value decodes n into v. What n says wrong is reported, and v keeps what it had.
func (d *decoder) value(path string, v reflect.Value, n ast.Node) {
	switch t := n.(type) {
	case *ast.AnchorNode:
		d.anchors[t.Name.String()] = t.Value
		d.value(path, v, t.Value)
		return
	case *ast.AliasNode:
		target, ok := d.anchors[t.Value.String()]
		if !ok {
			d.report(path, n, "*%s names no anchor above", t.Value.String())
			return
		}
		d.value(path, v, target)
		return
	case *ast.TagNode:
		d.value(path, v, t.Value)
		return
	case *ast.NullNode:
		return // "gateway:" with nothing below it is a section of defaults
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v.Elem())
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(path, v, n)
	case reflect.Slice:
		d.list(path, v, n)
	case reflect.Map:
		d.stringMap(path, v, n)
	default:
		d.scalar(path, v, n)
	}
}

// entries returns a mapping's pairs, or reports that n is none.
func (d *decoder) entries(path string, n ast.Node, what string) []*ast.MappingValueNode {
	switch t := n.(type) {
	case *ast.MappingNode:
		return t.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{t}
	}
	d.report(path, n, "this must be %s, not %s", what, describe(n))
	return nil
}

func (d *decoder) mapping(path string, v reflect.Value, n ast.Node) {
	fields := fieldsOf(v.Type())
	seen := map[string]Position{}
	for _, e := range d.entries(path, n, "a section with keys of its own ("+strings.Join(keysOf(v.Type()), ", ")+")") {
		if _, merge := e.Key.(*ast.MergeKeyNode); merge {
			d.report(path, e.Key, "merge keys (<<) are not read; write the keys out")
			continue
		}
		key := keyText(e.Key)
		at := join(path, key)
		if first, dup := seen[key]; dup {
			d.report(at, e.Key, "this key is here a second time, first in line %d; keep one", first.Line)
			continue
		}
		seen[key] = d.at(e.Key)
		i, known := fields[key]
		if !known {
			d.report(at, e.Key, "unknown key; %s", suggestKey(key, v.Type()))
			continue
		}
		d.pos[at] = d.at(e.Key)
		d.value(at, v.Field(i), e.Value)
	}
}

func (d *decoder) list(path string, v reflect.Value, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(path, n, "this must be a list, as in [a, b], not %s", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, e := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.pos[at] = d.at(e)
		if out.Index(i).Kind() == reflect.Struct {
			setDefaults(out.Index(i))
		}
		if _, null := e.(*ast.NullNode); null {
			d.report(at, e, "this entry is empty; fill it in or remove it")
			continue
		}
		d.value(at, out.Index(i), e)
	}
	v.Set(out)
}

func (d *decoder) stringMap(path string, v reflect.Value, n ast.Node) {
	out := map[string]string{}
	for _, e := range d.entries(path, n, "a list of key: value pairs") {
		key := keyText(e.Key)
		at := join(path, key)
		if _, dup := out[key]; dup {
			d.report(at, e.Key, "this key is here a second time; keep one")
			continue
		}
		d.pos[at] = d.at(e.Value)
		text, ok := scalarText(e.Value)
		if !ok {
			d.report(at, e.Value, "this must be one value, not %s", describe(e.Value))
			continue
		}
		text, err := d.expand(text)
		if err != nil {
			d.report(at, e.Value, "%v", err)
		}
		out[key] = text
	}
	v.Set(reflect.ValueOf(out))
}

func (d *decoder) scalar(path string, v reflect.Value, n ast.Node) {
	d.pos[path] = d.at(n)
	text, ok := scalarText(n)
	if !ok {
		d.report(path, n, "this must be %s, not %s", wanted(v.Type()), describe(n))
		return
	}
	_, isString := n.(*ast.StringNode)
	_, literal := n.(*ast.LiteralNode)
	if isString || literal {
		var err error
		if text, err = d.expand(text); err != nil {
			d.report(path, n, "%v", err)
			return
		}
	}
	if v.Kind() == reflect.String && !isString && !literal {
		d.report(path, n, "this must be text, not %s; put it in quotes if it is meant so", describe(n))
		return
	}
	if err := setText(v, text); err != nil {
		d.report(path, n, "%v", err)
	}
}

// setText parses text into a scalar.
func setText(v reflect.Value, text string) error {
	switch {
	case v.Type() == typeDuration:
		x, err := parseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(x))
	case v.Type() == typeSize:
		x, err := parseSize(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(x))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("this must be true or false, not %q", text)
		}
		v.SetBool(text == "true")
	case v.CanInt():
		x, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("this must be a whole number, not %q", text)
		}
		v.SetInt(x)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("this must be a number, not %q", text)
		}
		v.SetFloat(x)
	default:
		return fmt.Errorf("this setting can't be given as text")
	}
	return nil
}

// scalarText is a scalar as it stands in the file.
func scalarText(n ast.Node) (string, bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		return t.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.String()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe says what n is, for a message.
func describe(n ast.Node) string {
	switch t := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", t.Value)
	case *ast.BoolNode:
		return "the value " + n.GetToken().Value
	case *ast.IntegerNode, *ast.FloatNode:
		return "the number " + n.GetToken().Value
	}
	return "a value of another kind"
}

func wanted(t reflect.Type) string {
	switch {
	case t == typeDuration:
		return "a duration like 250ms or 2s"
	case t == typeSize:
		return "a size like 8MiB"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// fieldsOf maps a struct's keys to field numbers; keysOf lists them in the struct's order.
func fieldsOf(t reflect.Type) map[string]int {
	m := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			m[key] = i
		}
	}
	return m
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	return slices.Clip(keys)
}

// setDefaults fills a struct and the structs in it from the default tags.
func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		f, tag := v.Field(i), v.Type().Field(i).Tag
		if tag.Get("yaml") == "" {
			continue
		}
		def, has := tag.Lookup("default")
		switch {
		case f.Kind() == reflect.Struct:
			setDefaults(f)
		case has:
			if err := setField(f, def); err != nil {
				panic("config: the default of " + tag.Get("yaml") + ": " + err.Error())
			}
		}
	}
}
