package workload

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed presets/*.yaml
var presets embed.FS

// Names lists the presets in alphabetical order.
func Names() []string {
	entries, err := presets.ReadDir("presets")
	if err != nil {
		return nil // it is embedded: it can't be away
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Preset is the preset of that name.
func Preset(name string) (*Workload, error) {
	file := path.Join("presets", name+".yaml")
	text, err := presets.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("workload: no preset %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return Parse(file, text)
}

// Source is a preset's file, as a beginning for one's own.
func Source(name string) ([]byte, error) { return presets.ReadFile(path.Join("presets", name+".yaml")) }

// Find is the preset of that name, or else the file.
func Find(nameOrFile string) (*Workload, error) {
	for _, n := range Names() {
		if n == nameOrFile {
			return Preset(n)
		}
	}
	return Open(nameOrFile)
}

// Default is what goals are measured with unless they name another: echo-128.
func Default() *Workload {
	w := &Workload{Name: "echo-128"}
	w.fill()
	return w
}
