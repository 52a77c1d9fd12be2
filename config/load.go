package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Use says what a program is going to do with the configuration, and so which settings it can't do without.
type Use uint8

// The uses; they can be combined with |.
const (
	// UseTransport needs transport.url.
	UseTransport Use = 1 << iota
	// UseGateway needs at least one route.
	UseGateway
	// UseWorker needs at least one stream.
	UseWorker
)

// Options says where settings come from besides the file.
type Options struct {
	// Environ is the environment, as os.Environ gives it; nil means that of the process.
	Environ []string
	// Overrides are applied last, in order.
	Overrides []Override
	// Use says what must be there.
	Use Use
	// SkipFiles leaves out the check that certificates and keys can be read: for checking a file on another machine.
	SkipFiles bool
}

// Load reads the file at path; "" means no file, only defaults, environment and overrides. The error is an *Error with
// everything that is wrong. Relative paths in the file are made relative to its folder.
func Load(path string, opts Options) (*Config, error) {
	if path == "" {
		return Parse("", nil, opts)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		pe := &Problem{Position: Position{File: path}, Message: "the configuration file can't be read: " + reason(err) + "; name another with --config or " + EnvFile}
		return nil, asError([]Problem{*pe})
	}
	return Parse(path, data, opts)
}

// Parse is Load for a file that is in memory already; file is its name, for messages and for relative paths.
func Parse(file string, data []byte, opts Options) (*Config, error) {
	environ := opts.Environ
	if environ == nil {
		environ = os.Environ()
	}
	c := &Config{file: file, source: data}
	root := reflect.ValueOf(c).Elem()
	setDefaults(root)

	d := newDecoder(file, expander(environ))
	d.document(data, root)
	c.positions = d.pos
	problems := d.problems

	env, bad := envOverrides(environ)
	problems = append(problems, bad...)
	for _, o := range slices.Concat(env, opts.Overrides) {
		if p := c.apply(o); p != nil {
			problems = append(problems, *p)
		}
	}
	c.resolvePaths(root)
	// Where reading failed, the checks would speak of values that nobody wrote: they say nothing of settings in a bad one.
	unread := slices.Clone(problems)
	for _, p := range c.check(opts) {
		if !slices.ContainsFunc(unread, func(u Problem) bool { return u.Path != "" && within(p.Path, u.Path) }) {
			problems = append(problems, p)
		}
	}
	if err := asError(problems); err != nil {
		return nil, err
	}
	c.fillRoutes()
	return c, nil
}

// within reports whether path is outer or a setting in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// fillRoutes gives routes what they leave to the gateway's own settings.
func (c *Config) fillRoutes() {
	for i := range c.Gateway.Routes {
		r := &c.Gateway.Routes[i]
		if r.Function == "" {
			r.Function = Pattern(r.Match)
		}
		if r.Timeout == 0 {
			r.Timeout = c.Gateway.Timeouts.Call
		}
		if r.BodyLimit == 0 {
			r.BodyLimit = c.Gateway.Limits.Body
		}
	}
}

// File is the path that the configuration was read from, "" for none.
func (c *Config) File() string { return c.file }

// Where tells where a setting came from, or the nearest section around it that is in the file.
func (c *Config) Where(path string) Position {
	for path != "" {
		if p, ok := c.positions[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(i, 0)]
	}
	return Position{File: c.file}
}

var envRef = regexp.MustCompile(`\$?\$\{[^}]*\}`)

// expander replaces ${NAME} by the environment's values; $${NAME} stays as ${NAME}.
func expander(environ []string) func(string) (string, error) {
	env := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return func(s string) (string, error) {
		var err error
		out := envRef.ReplaceAllStringFunc(s, func(ref string) string {
			if strings.HasPrefix(ref, "$$") {
				return ref[1:]
			}
			name := ref[2 : len(ref)-1]
			v, ok := env[name]
			if !ok && err == nil {
				err = fmt.Errorf("${%s} is not set in the environment; set %s, or write $${%s} if that text is meant", name, name, name)
				if near := nearest(name, slices.Sorted(maps.Keys(env))); near != "" {
					err = fmt.Errorf("${%s} is not set in the environment (did you mean ${%s}?); set it, or write $${%s} if that text is meant", name, near, name)
				}
			}
			return v
		})
		return out, err
	}
}

// resolvePaths makes the file settings that came from the file relative to it; those from a variable or a flag stay
// relative to the working directory, as a shell user expects.
func (c *Config) resolvePaths(v reflect.Value) {
	c.eachFile(v, "", func(path string, f reflect.Value) {
		if s := f.String(); s != "" && !filepath.IsAbs(s) && c.Where(path).Source == "" && c.file != "" {
			f.SetString(filepath.Join(filepath.Dir(c.file), s))
		}
	})
}

// eachFile calls f for each setting that names a file.
func (c *Config) eachFile(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if key := tag.Get("yaml"); key == "" {
			continue
		} else if at := join(path, key); tag.Get("file") != "" {
			f(at, v.Field(i))
		} else {
			c.eachFile(v.Field(i), at, f)
		}
	}
}

// reason is an error of the file system without the path, which the message shows already.
func reason(err error) string {
	if os.IsNotExist(err) {
		return "there is no such file"
	}
	if os.IsPermission(err) {
		return "permission denied"
	}
	return firstLine(err.Error())
}
