package posts

import _ "embed"

// Config is streamerson.yaml, the configuration of this example's gateway and workers.
//
//go:embed streamerson.yaml
var Config []byte
