package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// EnvPrefix begins every environment variable that overrides a setting.
const EnvPrefix = "STREAMERSON_"

// EnvFile names the variable that holds the configuration file's path.
const EnvFile = EnvPrefix + "CONFIG"

// reservedPrefixes begin variables that test runs and benchmarks use to find brokers (STREAMERSON_REDIS_SERVER is a
// binary's path, STREAMERSON_REDIS_URL an address); none of them is a setting.
var reservedPrefixes = []string{EnvPrefix + "REDIS_", EnvPrefix + "KAFKA_", EnvPrefix + "NATS_", EnvPrefix + "TEST_", EnvPrefix + "BENCH_", EnvPrefix + "CI"}

// kubernetesVar matches what Kubernetes puts into every pod's environment for a service called streamerson or
// streamerson-gateway: they are not meant for us, and must not stop us from starting.
var kubernetesVar = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Override sets one setting after the file and the environment were read: a command line's flag.
type Override struct {
	// Path of the setting, "worker.slots".
	Path string
	// Value as text: a list's entries are separated by commas, a map's are key=value.
	Value string
	// Source is shown in messages, "--slots".
	Source string
}

// EnvNames lists the variables that override a setting, sorted, with the settings' paths.
func EnvNames() (names []string, paths map[string]string) {
	paths = map[string]string{}
	walkSettings(reflect.TypeFor[Config](), "", func(path string, f reflect.StructField) {
		if f.Tag.Get("env") == "-" || strings.Contains(path, "[]") {
			return
		}
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct {
			return
		}
		name := EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
		names, paths[name] = append(names, name), path
	})
	slices.Sort(names)
	return names, paths
}

// envOverrides turns the environment ("NAME=value") into overrides, and reports variables that name nothing.
func envOverrides(environ []string) ([]Override, []Problem) {
	var out []Override
	var problems []Problem
	names, paths := EnvNames()
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == EnvFile {
			continue
		}
		if path, ok := paths[name]; ok {
			out = append(out, Override{Path: path, Value: value, Source: name})
			continue
		}
		if kubernetesVar.MatchString(name) || slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		msg := "this environment variable names no setting; unset it"
		if near := nearest(name, names); near != "" {
			msg += ", or did you mean " + near + "?"
		}
		problems = append(problems, Problem{Position: Position{Source: name}, Message: msg})
	}
	slices.SortFunc(out, func(a, b Override) int { return strings.Compare(a.Path, b.Path) })
	return out, problems
}

// apply sets one override in c and remembers where it came from.
func (c *Config) apply(o Override) *Problem {
	v := reflect.ValueOf(c).Elem()
	for key := range strings.SplitSeq(o.Path, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
				setDefaults(v.Elem())
			}
			v = v.Elem()
		}
		i, ok := fieldsOf(v.Type())[key]
		if !ok {
			panic("config: no setting is called " + o.Path)
		}
		v = v.Field(i)
	}
	if err := setField(v, o.Value); err != nil {
		return &Problem{Position: Position{Source: o.Source}, Path: o.Path, Message: err.Error()}
	}
	c.positions[o.Path] = Position{Source: o.Source}
	return nil
}

// setField parses text into a scalar, a list or a map.
func setField(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.Slice:
		items := splitList(text)
		out := reflect.MakeSlice(v.Type(), len(items), len(items))
		for i, item := range items {
			if streams, ok := v.Interface().([]Stream); ok {
				s, err := streamNamed(streams, item)
				if err != nil {
					return err
				}
				out.Index(i).Set(reflect.ValueOf(s))
			} else if err := setText(out.Index(i), item); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	case reflect.Map:
		out := map[string]string{}
		for _, item := range splitList(text) {
			k, val, ok := strings.Cut(item, "=")
			if !ok {
				return fmt.Errorf("%q is not key=value", item)
			}
			out[k] = val
		}
		v.Set(reflect.ValueOf(out))
		return nil
	}
	return setText(v, text)
}

// streamNamed picks a stream of the file by its name, so that one file serves everything or one busy stream. A file without
// streams leaves the choice to the names.
func streamNamed(streams []Stream, name string) (Stream, error) {
	names := make([]string, len(streams))
	for i, s := range streams {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	if near := nearest(name, names); near != "" {
		return Stream{}, fmt.Errorf("stream %q is not in the file; did you mean %s?", name, near)
	}
	if len(names) > 0 {
		return Stream{}, fmt.Errorf("stream %q is not in the file; it has %s", name, strings.Join(names, ", "))
	}
	s := Stream{}
	setDefaults(reflect.ValueOf(&s).Elem())
	s.Name = name
	return s, nil
}

func splitList(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
