package config

import "reflect"

// Differences lists the settings in which two configurations differ, in the order of the file; lists are one setting.
func Differences(a, b *Config) []string {
	var out []string
	compare(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "", &out)
	return out
}

func compare(a, b reflect.Value, path string, out *[]string) {
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		x, y, at := a.Field(i), b.Field(i), join(path, key)
		if x.Kind() == reflect.Struct {
			compare(x, y, at, out)
		} else if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			*out = append(*out, at)
		}
	}
}
