// Package docs has the pages that tests carry out.
package docs

import _ "embed"

// QuickStart is quickstart.md.
//
//go:embed quickstart.md
var QuickStart string
