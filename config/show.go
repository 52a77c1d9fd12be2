package config

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// redacted stands where a secret was.
const redacted = "REDACTED"

// secretWords are parts of names whose values are not shown.
var secretWords = []string{"password", "passwd", "secret", "token", "credential", "apikey", "api_key"}

// YAML is the whole configuration with defaults, environment and flags applied, and with secrets left out.
func (c *Config) YAML() ([]byte, error) {
	return yaml.Marshal(toOrdered(reflect.ValueOf(c).Elem()))
}

// Address is URL with Params in its query: what to give to transport.Open. It holds the password.
func (t Transport) Address() string {
	u, err := url.Parse(t.URL)
	if err != nil || len(t.Params) == 0 {
		return t.URL
	}
	query := u.Query()
	for name, value := range t.Params {
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// RedactURL takes the password, and the query's secrets, out of a URL; what is not a URL is left out whole.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return redacted
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	if query := u.Query(); len(query) > 0 {
		for name := range query {
			if isSecret(name) {
				query.Set(name, redacted)
			}
		}
		u.RawQuery = query.Encode()
	}
	return u.String()
}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// toOrdered turns a struct into what the yaml library writes in the struct's order, without secrets.
func toOrdered(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return toOrdered(v.Elem())
	case reflect.Struct:
		out := yaml.MapSlice{}
		for i := range v.NumField() {
			tag := v.Type().Field(i).Tag
			key := tag.Get("yaml")
			if key == "" {
				continue
			}
			value := toOrdered(v.Field(i))
			if s, ok := value.(string); ok && s != "" && tag.Get("secret") == "url" {
				value = RedactURL(s)
			}
			if m, ok := v.Field(i).Interface().(map[string]string); ok && tag.Get("secret") == "map" {
				value = redactMap(m)
			}
			if value != nil {
				out = append(out, yaml.MapItem{Key: key, Value: value})
			}
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = toOrdered(v.Index(i))
		}
		return out
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	if v.Kind() == reflect.Map && v.Len() == 0 {
		return map[string]string{}
	}
	return v.Interface()
}

func redactMap(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if isSecret(k) {
			v = redacted
		}
		out[k] = v
	}
	return out
}
