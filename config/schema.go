package config

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// The schema's descriptions are the comments of the structs, so that they are written once.
//
//go:embed config.go
var structSource string

// Schema is the JSON Schema of the file, for editors: put
//
//	# yaml-language-server: $schema=streamerson.schema.json
//
// at the top of the file. What a schema can't say (reserved slots against slots, conflicting routes) is in Load only.
func Schema() ([]byte, error) {
	r := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true, // every setting may be left out, but for those that are marked below
		ExpandedStruct:             true,
		Anonymous:                  true,
		Mapper:                     mapScalar,
	}
	s := r.Reflect(&Config{})
	docs := structComments()
	describeType(s, reflect.TypeFor[Config](), docs)
	for name, def := range s.Definitions {
		for _, t := range structTypes() {
			if t.Name() == name {
				describeType(def, t, docs)
			}
		}
	}
	s.Title = "streamerson.yaml"
	return json.MarshalIndent(s, "", "  ")
}

func mapScalar(t reflect.Type) *jsonschema.Schema {
	switch t {
	case typeDuration:
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|^0$|^\$\{.+\}$`, Examples: []any{"250ms", "2s"}}
	case typeSize:
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: `^[0-9.]+ ?(KiB|MiB|GiB|kB|KB|MB|GB|B)?$|^\$\{.+\}$`},
		}, Examples: []any{"8MiB", 65536}}
	}
	return nil
}

// describeType adds descriptions, defaults, closed sets and required keys to the schema of one struct.
func describeType(s *jsonschema.Schema, t reflect.Type, docs map[string]string) {
	s.Description = docs[t.Name()]
	s.Required = nil
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		prop, ok := s.Properties.Get(key)
		if !ok {
			continue
		}
		prop.Description = docs[t.Name()+"."+f.Name]
		if def, has := f.Tag.Lookup("default"); has {
			prop.Default = jsonDefault(f.Type, def)
		}
		if words := f.Tag.Get("enum"); words != "" {
			for w := range strings.SplitSeq(words, ",") {
				prop.Enum = append(prop.Enum, w)
			}
		}
		if f.Tag.Get("required") != "" {
			s.Required = append(s.Required, key)
		}
	}
}

func jsonDefault(t reflect.Type, text string) any {
	switch {
	case t.Kind() == reflect.Slice:
		return splitList(text)
	case t == typeDuration, t == typeSize, t.Kind() == reflect.String:
		return text
	}
	return json.Number(text)
}

func structTypes() []reflect.Type {
	var out []reflect.Type
	walkSettings(reflect.TypeFor[Config](), "", func(_ string, f reflect.StructField) {
		t := f.Type
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct {
			out = append(out, t)
		}
	})
	return out
}

// structComments reads the comments of the structs ("Gateway") and their fields ("Gateway.Listen"), each on one line.
func structComments() map[string]string {
	docs := map[string]string{}
	f, err := parser.ParseFile(token.NewFileSet(), "config.go", structSource, parser.ParseComments)
	if err != nil {
		panic("config: the embedded source does not parse: " + err.Error())
	}
	oneLine := func(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || len(gen.Specs) != 1 {
			continue
		}
		spec, ok := gen.Specs[0].(*ast.TypeSpec)
		if !ok {
			continue
		}
		docs[spec.Name.Name] = oneLine(gen.Doc)
		if st, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range st.Fields.List {
				for _, name := range field.Names {
					docs[spec.Name.Name+"."+name.Name] = oneLine(field.Doc)
				}
			}
		}
	}
	return docs
}
