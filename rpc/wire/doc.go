// Package wire is the envelope that travels in a stream entry: its types, encoder and decoder. SPEC.md beside it describes
// the bytes for other languages; testdata/golden pins them. The package imports nothing of this module.
package wire
