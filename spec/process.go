package spec

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Demote takes the scheduler out of a process's JSON, as exec gets it. The rest stays as it is.
func Demote(data []byte) ([]byte, error) {
	var process object
	if err := json.Unmarshal(data, &process); err != nil || process == nil {
		return nil, fmt.Errorf("process: %w: %w", ErrNotJSON, err)
	}
	for key := range process {
		if strings.EqualFold(key, "scheduler") { // runc reads names without regard to case
			delete(process, key)
		}
	}
	return encode(process), nil
}
