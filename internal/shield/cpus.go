package shield

import (
	"fmt"

	"k8s.io/utils/cpuset"
)

// CPUs is a set of CPU (or memory node) numbers that reads and writes itself as the kernel's list format, "2-3,8",
// in JSON and in text.
type CPUs struct{ cpuset.CPUSet }

// CPUsOf wraps a set.
func CPUsOf(set cpuset.CPUSet) CPUs { return CPUs{set} }

// ParseCPUs reads the kernel's list format. The error says what was expected.
func ParseCPUs(list string) (CPUs, error) {
	set, err := cpuset.Parse(list)
	if err != nil {
		return CPUs{}, fmt.Errorf("%q is not a list of CPUs such as 2-3 or 2,4", list)
	}
	return CPUs{set}, nil
}

// MarshalText implements encoding.TextMarshaler.
func (c CPUs) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *CPUs) UnmarshalText(text []byte) error {
	parsed, err := ParseCPUs(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
