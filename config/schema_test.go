package config

import (
	"encoding/json"
	"testing"
)

func TestSchema(t *testing.T) {
	out, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]any
		Defs       map[string]struct {
			Description          string
			AdditionalProperties *bool
			Required             []string
			Properties           map[string]struct {
				Description, Type string
				Default           any
				Enum              []string
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"transport", "gateway", "worker", "admin", "log", "tracing"} {
		if s.Properties[section] == nil {
			t.Errorf("section %s is missing", section)
		}
	}
	for name, def := range s.Defs {
		if def.Description == "" || def.AdditionalProperties == nil || *def.AdditionalProperties {
			t.Errorf("%s: description %q, additionalProperties %v", name, def.Description, def.AdditionalProperties)
		}
		for key, p := range def.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
	if got := s.Defs["Worker"].Properties["slots"].Default; got != 64.0 {
		t.Errorf("worker.slots' default is %v", got)
	}
	if got := s.Defs["Log"].Properties["level"].Enum; len(got) != 4 {
		t.Errorf("log.level's words are %v", got)
	}
	if got := s.Defs["Route"].Required; len(got) != 2 {
		t.Errorf("a route's required keys are %v", got)
	}
}
