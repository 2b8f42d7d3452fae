package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/host/machines"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// held is a container with CPUs, and siblings that stay idle for it.
type held struct{ name, cpus, idle string }

// on gives the status of a recorded machine where containers hold CPUs.
func on(t *testing.T, machine string, containers ...held) *status.Status {
	t.Helper()
	root := machines.Tree(t, machine)
	topo, err := root.Topology()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := shield.NewLayout(shield.LayoutSpec{}, shield.Topology(topo))
	if err != nil {
		t.Fatal(err)
	}
	now := &status.Status{Kernel: "6.18.44", Layout: layout}
	var grants []shield.Grant
	taken := cpuset.New()
	for i, c := range containers {
		grant := shield.Grant{Key: shield.Key{Root: "/run/runc", ID: c.name}, Name: c.name, CPUs: cpusOf(t, c.cpus), Idle: cpusOf(t, c.idle)}
		grants, taken = append(grants, grant), taken.Union(grant.Held().CPUSet)
		arrived := interference.Delta{Seconds: 41}
		for _, cpu := range grant.CPUs.List() {
			arrived.CPUs = append(arrived.CPUs, interference.CPU{CPU: cpu, Ticks: uint64(1200 * (i + 1)), Reschedule: 3})
		}
		now.Grants = append(now.Grants, status.Grant{
			ID: c.name, Root: "/run/runc", Name: c.name, Class: "fifo", CPUs: grant.CPUs, Idle: grant.Idle, Policy: "fifo 50", Level: "partition", PID: 4000 + i,
			State: "bound", Created: time.Now().Add(-41 * time.Second).UTC().Format(time.RFC3339), Limits: []shield.Limit{}, Interference: &arrived,
		})
	}
	now.Free = shield.CPUsOf(layout.Pool.Difference(taken))
	if now.CPUs, err = status.Map(root, topo, layout, grants); err != nil {
		t.Fatal(err)
	}
	return now
}

func cpusOf(t *testing.T, list string) shield.CPUs {
	t.Helper()
	cpus, err := shield.ParseCPUs(list)
	if err != nil {
		t.Fatal(err)
	}
	return cpus
}

// glance gives what is shown on a page so wide.
func glance(now *status.Status, width int) string {
	var out strings.Builder
	page := terminal.To(&out)
	page.Width = width
	printStatus(page, now, nil)
	return aged.ReplaceAllString(out.String(), "41s")
}

// aged is how old a container of 41 s may be when it is looked at.
var aged = regexp.MustCompile(`\b4[1-9]s\b`)

const long = "production/plc-controller-7f9c4d5b6-x2x7k/realtime-loop"

// crowd are so many containers with long names, each with some of the CPUs from first on.
func crowd(n, first, each int) (all []held) {
	for i := range n {
		all = append(all, held{fmt.Sprintf("%s-%03d", long, i), fmt.Sprintf("%d-%d", first+i*each, first+(i+1)*each-1), ""})
	}
	return all
}

func TestASmallHostIsDrawnAsBoxesWithNames(t *testing.T) {
	got := glance(on(t, "isolated-at-boot", held{"web", "4", "12"}, held{long, "5,13,6", "14"}), 100)
	want := `Linux 6.18.44: 16 CPUs on 8 cores; 4 CPUs granted to 2 containers, 6 free

node 0  ┌─────────────────────┬─────────────────────┬─────────────────────┬─────────────────────┐
        │  0 = housekeeping   │  1 = housekeeping   │  2 · free           │  3 · free           │
        │  8 = housekeeping   │  9 = housekeeping   │ 10 · free           │ 11 · free           │
        └─────────────────────┴─────────────────────┴─────────────────────┴─────────────────────┘
        ┌─────────────────────┬─────────────────────┬─────────────────────┬─────────────────────┐
        │  4 A web            │  5 B productio…loop │  6 B productio…loop │  7 · free           │
        │ 12 a idle for web   │ 13 B productio…loop │ 14 b idle           │ 15 · free           │
        └─────────────────────┴─────────────────────┴─────────────────────┴─────────────────────┘

housekeeping  CPU 0-1,8-9
shield        CPU 2-7,10-15 (boot options isolcpus= and nohz_full=)
free          CPU 2-3,7,10-11,15

   CONTAINER                 CLASS  CPUS    POLICY   LEVEL      AGE  IRQS  TICKS  IPIS  LIMITS   PID
A  web                       fifo   4       fifo 50  partition  41s     0   1.2k     3       0  4000
B  production/plc-c…me-loop  fifo   5-6,13  fifo 50  partition  41s     0   7.2k     9       0  4001
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestANarrowTerminalHasFewerBoxesInARow(t *testing.T) {
	got := glance(on(t, "raspberry-pi", held{"plc-controller-07", "1", ""}), 60)
	want := `
node 0  ┌───────────────────┬───────────────────┐
        │  0 = housekeeping │  1 A plc-cont…-07 │
        └───────────────────┴───────────────────┘
        ┌───────────────────┬───────────────────┐
        │  2 · free         │  3 · free         │
        └───────────────────┴───────────────────┘
`
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestALargeHostIsDrawnAsRowsOfMarks(t *testing.T) {
	for machine, c := range map[string]struct {
		containers []held
		want       string
	}{
		"xeon-two-sockets": {[]held{{"web", "8", "56"}, {"db", "30-33,78-81", ""}}, `
node 0   0-23  = · · ·  · · · ·  A · · ·  · · · ·  · · · ·  · · · ·
        48-71  = · · ·  · · · ·  a · · ·  · · · ·  · · · ·  · · · ·

node 1  24-47  · · · ·  · · B B  B B · ·  · · · ·  · · · ·  · · · ·
        72-95  · · · ·  · · B B  B B · ·  · · · ·  · · · ·  · · · ·

= housekeeping   · free   A granted (A in the table)   a idle, for A
`},
		"xeon-sub-numa": {nil, `
node 0      0-2,5-6,10-12,15-16  = · · ·  · · · ·  · ·
        40-42,45-46,50-52,55-56  = · · ·  · · · ·  · ·
`},
		"smt-off": {nil, `
node 0   0-15  = · · ·  · · · ·  · · · ·  · · · ·
        offline: CPU 32-47

node 1  16-31  · · · ·  · · · ·  · · · ·  · · · ·
        offline: CPU 48-63
`},
		"arm-server": {crowd(27, 4, 1), `
node 0     0-15  == ·· ·· ··  AA AB AC AD  AE AF AG AH  AI AJ AK AL
          16-31  AM AN AO AP  AQ AR AS AT  AU AV AW AX  AY AZ BA ··

node 1    32-47  ·· ·· ·· ··  ·· ·· ·· ··  ·· ·· ·· ··  ·· ·· ·· ··
`},
		"power9": {nil, `
node 8  88,92…172  · · · ·  · · · ·  · · · ·  · · · ·  · · · ·  · ·
        89,93…173  · · · ·  · · · ·  · · · ·  · · · ·  · · · ·  · ·
`},
	} {
		if got := glance(on(t, machine, c.containers...), 100); !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", machine, got, c.want)
		}
	}
}

// tooWide gives the lines that are wider than a page.
func tooWide(text string, width int) (lines []string) {
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			lines = append(lines, fmt.Sprintf("%d columns: %s", n, line))
		}
	}
	return lines
}

func TestTheMapAndTheTableFitThePageOnEveryMachine(t *testing.T) {
	for _, machine := range machines.Names(t) {
		now := on(t, machine)
		pool := now.Layout.Pool.List()
		var containers []held
		for i, cpu := range pool[:min(len(pool), 200)] {
			containers = append(containers, held{fmt.Sprintf("%s-%03d", long, i), fmt.Sprint(cpu), ""})
		}
		for _, now := range []*status.Status{now, on(t, machine, containers...)} {
			for i := range now.Grants { // a policy and a list as long as they come
				now.Grants[i].Policy = "deadline 123.456µs/1.234567ms/1.234567ms"
				if i == 0 {
					now.Grants[i].CPUs = now.Layout.Pool
				}
			}
			for _, width := range []int{100, 80, 60} {
				shown, _, _ := strings.Cut(glance(now, width), "\nwhat arrived")
				for _, line := range tooWide(shown, width) {
					t.Errorf("%s with %d containers: %s", machine, len(now.Grants), line)
				}
				for _, grant := range now.Grants {
					if !strings.Contains(shown, grant.Name[len(grant.Name)-3:]) {
						t.Errorf("%s: %s is not told from others:\n%s", machine, grant.Name, shown)
					}
				}
			}
		}
	}
}

func TestOnATerminalNoLineIsWiderThanIt(t *testing.T) {
	now := on(t, "epyc-512", crowd(200, 2, 1)...)
	now.Grants[0].Limits = []shield.Limit{{What: strings.Repeat("kworker/1:0, ", 30), Why: "bound to its CPU", Drift: true}}
	var out strings.Builder
	page := terminal.Page{Writer: &out, Width: 90, Wrap: true}
	printStatus(page, now, nil)
	for _, line := range tooWide(out.String(), 90) {
		t.Error(line)
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestColoursAddNothingButColours(t *testing.T) {
	now := on(t, "isolated-at-boot", held{"web", "4", "12"})
	plain := glance(now, 100)
	if escape.MatchString(plain) {
		t.Errorf("colours in a pipe: %q", plain)
	}
	var out strings.Builder
	printStatus(terminal.Page{Writer: &out, Width: 100, Colour: true}, now, nil)
	if got := aged.ReplaceAllString(escape.ReplaceAllString(out.String(), ""), "41s"); got != plain || got == out.String() {
		t.Errorf("with colours:\n%s\nwithout:\n%s", out.String(), plain)
	}
	if !strings.Contains(out.String(), "12 \x1b[36ma idle for web") || !strings.Contains(out.String(), " 4 \x1b[36;1mA web") {
		t.Errorf("a container and its idle sibling are not of one colour: %q", out.String())
	}
}

func TestWhatAContainerIsGoingThroughStandsInItsLine(t *testing.T) {
	now := on(t, "raspberry-pi", held{"web", "1", ""}, held{"db", "2", ""}, held{"log", "3", ""})
	now.Grants[0].State, now.Grants[1].State = "starting", "stale"
	now.Grants[2].Interference = nil
	now.Grants[2].Created = time.Now().Add(-50 * time.Hour).UTC().Format(time.RFC3339)
	for i, words := range []string{" partition  starting ", " partition     stale ", " partition        2d "} {
		if got := glance(now, 100); !strings.Contains(got, words) {
			t.Errorf("%s: no %q in\n%s", now.Grants[i].Name, words, got)
		}
	}
}

func TestCountsAndTimesAreWrittenBriefly(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1.0k", 9949: "9.9k", 9950: "10k", 999_499: "999k", 999_500: "1.0M", 1 << 63: "9.2E"} {
		if got := brief(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 900: "0.9µs", 1250 * time.Microsecond: "1.2ms", 999_900: "1000µs", 41 * time.Second: "41s", 1500 * time.Millisecond: "1.5s",
		119 * time.Second: "119s", 5 * time.Minute: "5m", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 100 * time.Hour: "4d",
	} {
		if got := briefTime(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
