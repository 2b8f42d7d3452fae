// Package location says where the policy file is. It stands alone because the verbs that must not read that file still
// need its name, and come before any library is initialised.
package location

import "os"

// Default is the policy file unless RTSHIELD_CONFIG in the runtime's own environment names another.
const Default = "/etc/rtshield/config.toml"

// Path gives the policy file's path.
func Path() string {
	if path := os.Getenv("RTSHIELD_CONFIG"); path != "" {
		return path
	}
	return Default
}
