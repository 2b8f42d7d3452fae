package check

import _ "embed"

// Schema describes the JSON form of a Report (JSON Schema, draft 2020-12).
//
//go:embed schema.json
var Schema string
