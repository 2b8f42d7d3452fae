package interference

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// parser reads one file's counters of cpus into those that are known.
type parser func(lines *bufio.Scanner, cpus cpuset.CPUSet, counters map[int]*Counters)

// maxLine is longer than a row of /proc/interrupts with 8,192 CPUs (CONFIG_NR_CPUS of the largest kernels).
const maxLine = 1 << 18

func parse(root host.Root, file string, cpus cpuset.CPUSet, counters map[int]*Counters, read parser) error {
	source, err := os.Open(root.Path(file))
	if err != nil {
		return err
	}
	defer source.Close()
	return parseFrom(source, cpus, counters, read)
}

func parseFrom(source io.Reader, cpus cpuset.CPUSet, counters map[int]*Counters, read parser) error {
	lines := bufio.NewScanner(source)
	// The kernel gives a page at a time; the rest is for a line that is longer.
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	read(lines, cpus, counters)
	return lines.Err()
}

// readInterrupts reads /proc/interrupts. Its columns are the online CPUs, which its first line names.
func readInterrupts(lines *bufio.Scanner, cpus cpuset.CPUSet, counters map[int]*Counters) {
	columns := header(lines, cpus)
	for _, cpu := range columns.cpus {
		counters[cpu] = &Counters{}
	}
	for lines.Scan() {
		label, counts, tail := columns.row(lines.Bytes())
		if !slices.ContainsFunc(counts, positive) {
			continue
		}
		device := label[0] >= '0' && label[0] <= '9'
		what := name(tail, device)
		for i, count := range counts {
			c := counters[columns.cpus[i]]
			switch what {
			case "Local timer interrupts", "arch_timer":
				c.Ticks += count
			case "Rescheduling interrupts":
				c.Reschedule += count
			case "Function call interrupts":
				c.Call += count
			case "TLB shootdowns":
				c.TLB += count
			default:
				if device {
					add(&c.Devices, string(label)+" "+what, count)
				} else {
					add(&c.Other, string(label), count)
				}
			}
		}
	}
}

// readSoftirqs reads /proc/softirqs. Its columns are the CPUs that there may ever be.
func readSoftirqs(lines *bufio.Scanner, cpus cpuset.CPUSet, counters map[int]*Counters) {
	columns := header(lines, cpus)
	for lines.Scan() {
		label, counts, _ := columns.row(lines.Bytes())
		for i, count := range counts {
			if c := counters[columns.cpus[i]]; c != nil {
				add(&c.Softirqs, string(label), count)
			}
		}
	}
}

// readSteal reads the eighth number of the CPUs' lines in /proc/stat.
func readSteal(lines *bufio.Scanner, _ cpuset.CPUSet, counters map[int]*Counters) {
	for lines.Scan() && bytes.HasPrefix(lines.Bytes(), []byte("cpu")) {
		if c, fields := cpuLine(lines.Bytes(), counters); len(fields) >= 8 {
			c.Steal = fields[7]
		}
	}
}

// readSchedstat reads the last three numbers of the CPUs' lines in /proc/schedstat, which are the same in versions 15 to
// 17 (Documentation/scheduler/sched-stats.rst): time run in ns, time waited, turns. These come from the scheduler's
// per-task accounting (CONFIG_SCHED_INFO) and are counted also while kernel.sched_schedstats is 0: seen on Debian's 6.12,
// where that is the default. Without CONFIG_SCHEDSTATS there is no such file: seen on a 6.18.
func readSchedstat(lines *bufio.Scanner, _ cpuset.CPUSet, counters map[int]*Counters) {
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), []byte("cpu")) {
			continue
		}
		if c, fields := cpuLine(lines.Bytes(), counters); len(fields) >= 9 {
			c.Tasks = &Tasks{Ran: fields[6], Turns: fields[8]}
		}
	}
}

// cpuLine reads "cpu5 1 2 3 …" if that CPU is wanted.
func cpuLine(line []byte, counters map[int]*Counters) (*Counters, []uint64) {
	label, rest, _ := bytes.Cut(line, []byte(" "))
	cpu, err := strconv.Atoi(string(label[len("cpu"):]))
	c := counters[cpu]
	if err != nil || c == nil {
		return nil, nil
	}
	var fields []uint64
	for field := range bytes.FieldsSeq(rest) {
		n, ok := number(field)
		if !ok {
			return nil, nil
		}
		fields = append(fields, n)
	}
	return c, fields
}

// columns says where the wanted CPUs are in a table.
type columns struct {
	cpus, at []int
	// all is how many columns there are.
	all    int
	counts []uint64
}

// header reads the first line, "CPU0 CPU1 CPU3": one that is offline has no column.
func header(lines *bufio.Scanner, cpus cpuset.CPUSet) *columns {
	c := &columns{}
	if !lines.Scan() {
		return c
	}
	for field := range bytes.FieldsSeq(lines.Bytes()) {
		cpu, err := strconv.Atoi(string(bytes.TrimPrefix(field, []byte("CPU"))))
		if err == nil && cpus.Contains(cpu) && !slices.Contains(c.cpus, cpu) {
			c.cpus, c.at = append(c.cpus, cpu), append(c.at, c.all)
		}
		c.all++
	}
	c.counts = make([]uint64, len(c.cpus))
	return c
}

// row gives a line's label, the wanted counts, which hold until the next call, and what stands behind the last column. A
// line without a column for each CPU (ERR, MIS) has no counts.
func (c *columns) row(line []byte) (label []byte, counts []uint64, tail []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || len(c.cpus) == 0 {
		return nil, nil, nil
	}
	label = bytes.TrimSpace(line[:colon])
	rest := line[colon+1:]
	if len(label) == 0 {
		return nil, nil, nil
	}
	if tail, ok := c.leap(rest); ok {
		return label, c.counts, tail
	}
	if tail, ok := c.walk(rest); ok {
		return label, c.counts, tail
	}
	return label, nil, nil
}

// width of a column: the kernel prints " %10u" (or "%10u " behind a space), and its counters have 32 bits.
const width = 11

// leap goes right to the wanted columns: a row of a machine with 512 CPUs has 5 kB, of which one column matters.
func (c *columns) leap(rest []byte) (tail []byte, ok bool) {
	end := c.all * width
	if len(rest) < end || len(rest) > end && digit(rest[end]) || !digit(rest[end-1]) {
		return nil, false
	}
	for i, at := range c.at {
		cell := rest[at*width : (at+1)*width]
		if cell[0] != ' ' {
			return nil, false
		}
		if c.counts[i], ok = number(bytes.TrimLeft(cell, " ")); !ok {
			return nil, false
		}
	}
	return rest[end:], true
}

// walk is for every other spacing, such as that of the IPI rows of arm64 with few interrupts.
func (c *columns) walk(rest []byte) (tail []byte, ok bool) {
	next := 0
	for column := range c.all {
		rest = bytes.TrimLeft(rest, " ")
		end := 0
		for end < len(rest) && digit(rest[end]) {
			end++
		}
		n, ok := number(rest[:end])
		if !ok {
			return nil, false
		}
		if next < len(c.at) && c.at[next] == column {
			c.counts[next] = n
			next++
		}
		rest = rest[end:]
	}
	return rest, true
}

// name is what stands at the end of a line. Before the handlers of a device come the chip, the number there and the
// trigger, and in front of the handlers at least two spaces; without a handler the line ends in the trigger's padding.
func name(tail []byte, device bool) string {
	if device {
		gap := bytes.LastIndex(tail, []byte("  "))
		if gap < 0 {
			return ""
		}
		tail = tail[gap:]
	}
	return string(bytes.TrimSpace(tail))
}

// number is strconv.ParseUint without making a string.
func number(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(text) > 0 && len(text) < 20
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func positive(n uint64) bool { return n > 0 }

func add(to *map[string]uint64, key string, count uint64) {
	if count == 0 {
		return
	}
	if *to == nil {
		*to = map[string]uint64{}
	}
	(*to)[key] += count
}
