package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// nearest returns the known word that is most like word, "" when none is near.
func nearest(word string, known []string) string {
	plain := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	best, bestDist := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := levenshtein.ComputeDistance(plain(word), plain(k)); d < bestDist {
			best, bestDist = k, d
		}
	}
	return best
}

// suggestKey says what could be meant by a key that section t does not have.
func suggestKey(key string, t reflect.Type) string {
	keys := keysOf(t)
	if k := nearest(key, keys); k != "" {
		return "did you mean " + k + "?"
	}
	if where := sectionsWith(key); len(where) > 0 {
		return "it belongs in " + strings.Join(where, " or ")
	}
	return "known here are " + strings.Join(keys, ", ")
}

// sectionsWith lists the settings whose last part is key.
func sectionsWith(key string) []string {
	var out []string
	walkSettings(reflect.TypeFor[Config](), "", func(path string, _ reflect.StructField) {
		if path[strings.LastIndexByte(path, '.')+1:] == key {
			out = append(out, path)
		}
	})
	slices.Sort(out)
	return out
}

// walkSettings calls f for every setting below t, sections included, lists of sections as name[].
func walkSettings(t reflect.Type, path string, f func(path string, field reflect.StructField)) {
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("yaml")
		if key == "" {
			continue
		}
		at := join(path, key)
		f(at, field)
		ft := field.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		switch {
		case ft.Kind() == reflect.Struct:
			walkSettings(ft, at, f)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
			walkSettings(ft.Elem(), at+"[]", f)
		}
	}
}
