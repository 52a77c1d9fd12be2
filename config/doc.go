// Package config reads the one YAML file that sets up a gateway, a worker or both.
//
// Reading is strict: a key that is not known, a value of the wrong type, a name used twice are errors, each with its file,
// line and column, the nearest known key, and what to do. All problems are reported at once, as *Error.
//
// A setting comes from, the later winning: its default, the file, an environment variable, a flag (Options.Overrides). The
// variable's name is the setting's path in capitals with dots as underscores: STREAMERSON_GATEWAY_LISTEN is gateway.listen.
// A variable that begins with STREAMERSON_ and names no setting is an error, except STREAMERSON_CONFIG (the file's path),
// those that a test run uses (STREAMERSON_REDIS_…, see reservedPrefixes), and those that Kubernetes makes for a service of
// that name. A string may hold ${NAME}, which becomes that environment variable's value; write $${ for a plain ${.
//
// The package knows no other package of this module: it checks what can be checked from the file alone.
package config
