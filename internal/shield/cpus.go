package shield

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// CPUs is a set of CPU (or memory node) numbers that reads and writes itself as the kernel's list format, "2-3,8",
// in JSON and in text.
type CPUs struct{ cpuset.CPUSet }

// CPUsOf wraps a set.
func CPUsOf(set cpuset.CPUSet) CPUs { return CPUs{set} }

// maxNumber is above every CPU and memory node that a kernel can have (NR_CPUS of x86 is at most 8192), maxNumbers above
// how many a list would ever name, twice over.
const (
	maxNumber  = 9999
	maxNumbers = 1 << 16
)

// ParseCPUs reads the kernel's list format. The error says what was expected.
func ParseCPUs(list string) (CPUs, error) {
	set, err := cpuset.CPUSet{}, errHuge
	if bounded(list) {
		set, err = cpuset.Parse(list)
	}
	if err != nil {
		if len(list) > 80 {
			list = list[:80] + "…"
		}
		return CPUs{}, fmt.Errorf("%q is not a list of CPUs such as 2-3 or 2,4", list)
	}
	return CPUs{set}, nil
}

var errHuge = errors.New("more CPUs than any machine has")

// bounded says whether a list is one that may be read: a set of 0-4294967295 would fill the memory.
func bounded(list string) bool {
	count := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, to := number(first), number(first)
		if isRange {
			to = number(last)
		}
		if count += 1 + max(0, to-from); from > maxNumber || to > maxNumber || count > maxNumbers {
			return false
		}
	}
	return true
}

// number reads a number; what is none is for the parser to complain about.
func number(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if errors.Is(err, strconv.ErrRange) {
		return maxNumber + 1
	}
	return n
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
