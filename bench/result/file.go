package result

import (
	"encoding/json"
	"fmt"
	"os"
)

// Save writes the run to a file, which it replaces.
func (r *Run) Save(file string) error {
	r.Schema = Schema
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil { //nolint:gosec // results are no secret
		return fmt.Errorf("result: %w; name another file with --json", err)
	}
	return nil
}

// Load reads a run that Save wrote. A file of another schema is an error that says so: its figures could mean something
// else.
func Load(file string) (*Run, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("result: %s is not a benchmark's result: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("result: %s: field schema is %d, this program reads %d; measure again, or use the program that wrote it", file, r.Schema, Schema)
	}
	return &r, nil
}
