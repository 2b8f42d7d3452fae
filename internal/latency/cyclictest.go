package latency

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rtshield/rtshield/internal/shield"
)

// cyclictest counts each µs up to here singly: 100 ms.
const counted = 100_000

// FindCyclictest gives the path of cyclictest, without links: they may lead out of what its container sees.
func FindCyclictest() (string, error) {
	path, err := exec.LookPath("cyclictest")
	if err != nil {
		return "", errors.New("cyclictest measures, and is not in PATH: apt install rt-tests, or dnf install realtime-tests, or zypper install rt-tests")
	}
	return filepath.EvalSymlinks(path)
}

// cyclictestVersion is such as "2.40"; empty where it does not say.
func cyclictestVersion(path string) string {
	out, _ := exec.Command(path, "--help").CombinedOutput() // older ones exit with a status
	first, _, _ := strings.Cut(string(out), "\n")
	if version, found := strings.CutPrefix(first, "cyclictest V "); found {
		return strings.TrimSpace(version)
	}
	return ""
}

// arguments are what cyclictest is called with: one thread that sleeps until the next multiple of interval. Nothing about
// the host is tuned by it; whether CPUs may sleep is for us to say.
func arguments(program string, interval, length time.Duration, policy shield.Policy, priority int) []string {
	args := []string{
		program, "--quiet", "--default-system", "--mlockall", "--threads=1",
		"--histogram=" + strconv.Itoa(counted),
		"--interval=" + strconv.FormatInt(interval.Microseconds(), 10),
		"--duration=" + strconv.FormatInt(int64(length/time.Second), 10),
		"--policy=" + string(policy),
	}
	if policy.HasPriority() { // any priority, also 0, makes it FIFO (cyclictest 2.4)
		args = append(args, "--priority="+strconv.Itoa(priority))
	}
	return args
}

// parseHistogram reads what `cyclictest --histogram` prints, for one thread: lines of µs and how many, then a summary in
// lines that begin with #. It is as good when a signal has ended cyclictest before its time.
func parseHistogram(text io.Reader) (Histogram, error) {
	h := Histogram{counts: map[int]uint64{}}
	whole := false
	scanner := bufio.NewScanner(text)
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		var err error
		switch summary, isSummary := strings.CutPrefix(line, "# "); {
		case isSummary:
			name, value, _ := strings.Cut(summary, ":")
			switch name {
			case "Total":
				whole = true
			case "Max Latencies":
				h.Max, err = strconv.Atoi(strings.TrimSpace(value))
			case "Histogram Overflows":
				h.Later, err = strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			}
		case line == "" || line[0] == '#':
		default:
			err = h.count(line)
		}
		if err != nil {
			return h, fmt.Errorf("cyclictest's histogram: line %q: %w", line, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return h, fmt.Errorf("cyclictest's histogram: %w", err)
	}
	if !whole {
		return h, errors.New("cyclictest printed no histogram")
	}
	return h, nil
}

func (h *Histogram) count(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return errors.New("expected µs and how many")
	}
	us, err := strconv.Atoi(fields[0])
	if err != nil {
		return err
	}
	count, err := strconv.ParseUint(fields[1], 10, 64)
	if count > 0 {
		h.counts[us] = count
	}
	return err
}
