package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/privilege"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/runtime/delegate"
)

const checkHelp = `Looks at the kernel, cgroups, interrupts, power, clocks, memory, services and engines of this host, and says how fit they are
for shielded containers:

   good     nothing to do
   limit    containers run, and have less than another setting, kernel or machine would give them
   FAIL     a container that asks for a shield is refused, or does not start
   unknown  it could not be looked at, or tried

As root it tries what cannot be seen: whether a thread in a new cgroup gets the policy of the class, and whether a free CPU of the shield
becomes a partition. It does so as create would, under the ledger's lock, and gives everything back at once; the other tasks
of that CPU are elsewhere for a moment. --no-try leaves that out.

--fix sets what can be set at run time, until the next boot, and looks again; --fix --dry-run says what that would be.

EXIT STATUS
   0  fit: all is good, or a limit
   1  something fails
   2  something is unknown, or the command was wrong

EXAMPLES
   rtshield check
   rtshield check --json | jq -r .level
   rtshield check --fix --dry-run
   rtshield check --no-try --verbose`

func checking(jsonFlag cli.Flag) *cli.Command {
	flag := func(name, usage string, aliases ...string) cli.Flag {
		return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases, DisableDefaultText: true}
	}
	return &cli.Command{
		Name: "check", Usage: "how fit this host is, and what would make it fitter", Description: checkHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "class", Usage: "of the container to think of (default: fifo)"},
			flag("fix", "set what can be set at run time, until the next boot"),
			flag("dry-run", "with --fix: only say what it would set"),
			flag("no-try", "look, and try nothing"),
			flag("verbose", "say of everything what was looked at, and why it matters", "v"),
			jsonFlag,
			flag("json-schema", "print the schema of what --json prints"),
		},
		Action: checkHost,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return exit{2, fmt.Errorf("%w: rtshield check --help", err)}
		},
	}
}

func checkHost(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return exit{2, err}
	}
	if c.Bool("json-schema") {
		_, err := io.WriteString(c.App.Writer, check.Schema)
		return err
	}
	if c.Bool("dry-run") && !c.Bool("fix") {
		return exit{2, errors.New("check --dry-run says what --fix would do: give both")}
	}
	job, err := checkJob(c)
	if err != nil {
		return exit{2, err}
	}
	var report *check.Report
	if c.Bool("fix") {
		report, err = job.Fix(c.Bool("dry-run"))
	} else {
		report, err = job.Look()
	}
	if err != nil {
		return exit{2, err}
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, report)
	} else {
		newPage(c.App.Writer, c.Bool("verbose")).print(report)
	}
	if err != nil {
		return exit{2, err}
	}
	if code := report.ExitStatus(); code != 0 {
		return exit{code: code}
	}
	return nil
}

func checkJob(c *cli.Context) (check.Job, error) {
	policy, err := config.Load()
	if err != nil {
		return check.Job{}, err
	}
	bootID, err := host.System.BootID()
	if err != nil {
		return check.Job{}, err
	}
	job := check.Job{
		Root: host.System, Policy: policy, Store: shield.Store{Dir: policy.State, BootID: bootID},
		Class: c.String("class"), Delegates: delegatesOf(policy), Privilege: privilege.Shield(), Try: !c.Bool("no-try"),
	}
	if c.Bool("fix") && !c.Bool("dry-run") && job.Privilege != nil {
		return job, fmt.Errorf("check --fix changes kernel settings: run it as root")
	}
	return job, nil
}

// delegatesOf is the one that containers would be handed to, and those that the policy names beside it.
func delegatesOf(policy config.Config) []check.Delegate {
	path, err := delegate.Find(policy.Delegates)
	if err != nil {
		return []check.Delegate{{Err: err}}
	}
	found := []check.Delegate{delegateAt(path, policy.State)}
	for _, name := range policy.Delegates {
		other, err := delegate.Find([]string{name})
		if err == nil && !slices.ContainsFunc(found, func(d check.Delegate) bool { return d.Path == other }) {
			found = append(found, delegateAt(other, policy.State))
		}
	}
	return found
}

func delegateAt(path, state string) check.Delegate {
	traits, err := delegate.Identify(path, state)
	if err != nil && traits.Name == "" {
		return check.Delegate{Path: path, Err: err}
	}
	found := check.Delegate{Path: path, Name: traits.Name, Version: traits.Version}
	for _, trait := range []struct {
		has  bool
		what string
	}{
		{traits.ExecScheduler(), `exec = "inherit"`}, {traits.ExecAffinity(), `exec_cpus = "housekeeping", realtime-mask`},
		{traits.Burst(), "cpu-burst"}, {traits.MemoryPolicy(), `memory_policy = "bind"`},
	} {
		if !trait.has {
			found.Cannot = append(found.Cannot, trait.what)
		}
	}
	return found
}

// page prints a report.
type page struct {
	terminal.Page
	verbose bool
}

func newPage(w io.Writer, verbose bool) page { return page{terminal.To(w), verbose} }

// colours of the marks: those that every terminal has.
var colours = map[check.Mark]terminal.Style{check.Good: "32", check.Limit: "33", check.Fail: "1;31", check.Unknown: "35"}

func (p page) print(report *check.Report) {
	p.wrapped("", "", "kernel "+report.Kernel+", "+report.System)
	p.wrapped("", "", "a container of class "+report.Class+" would have: "+levelText(report))
	group := ""
	for _, finding := range report.Findings {
		if finding.Group != group {
			group = finding.Group
			fmt.Fprintln(p, "\n"+p.Paint("1", group))
		}
		p.finding(finding)
	}
	fmt.Fprintln(p)
	if report.Boot != nil {
		p.wrapped("to boot with all of that: ", "", report.Boot.Do)
	}
	for _, line := range report.Fixed {
		p.wrapped("fix: ", "", line)
	}
	for _, line := range report.Unfixed {
		p.wrapped("not fixed: ", "", line)
	}
	fmt.Fprintf(p, "%d good, %s, %s, %d unknown: %s\n", report.Totals[check.Good], many(uint64(report.Totals[check.Limit]), "limit"),
		many(uint64(report.Totals[check.Fail]), "failure"), report.Totals[check.Unknown], verdict(report))
}

func levelText(report *check.Report) string {
	switch {
	case report.Level == "":
		return "no shield, it would be refused"
	case report.Weaker != "":
		return "level " + report.Level + ", since " + report.Weaker
	}
	return "level " + report.Level
}

func verdict(report *check.Report) string {
	switch report.ExitStatus() {
	case 0:
		return "this host is fit"
	case 1:
		return "this host is not fit"
	}
	return "whether this host is fit could not be told"
}

func (p page) finding(f check.Finding) {
	mark := string(f.Mark)
	if f.Mark == check.Fail {
		mark = strings.ToUpper(mark)
	}
	head := fmt.Sprintf("  %-7s  %-18s  ", mark, f.Name)
	below := strings.Repeat(" ", len(head))
	p.wrapped(head, colours[f.Mark], f.Found)
	if f.Mark == check.Good && !p.verbose {
		return
	}
	if f.Why != "" {
		p.wrapped(below+"why: ", "", f.Why)
	}
	if f.Micros != nil {
		p.wrapped(below+"in µs: ", "", microsText(*f.Micros))
	}
	for _, way := range f.Do {
		if way == f.Fix {
			way += " (or --fix)"
		}
		p.wrapped(below+"do: ", "", way)
	}
	if f.Fix != "" && !slices.Contains(f.Do, f.Fix) {
		p.wrapped(below+"--fix: ", "", f.Fix)
	}
	if p.verbose {
		p.wrapped(below+"looked at: ", "", strings.Join(f.Looked, ", "))
	}
}

// microsText gives a time with as many digits as tell something.
func microsText(m check.Micros) string {
	number := fmt.Sprintf("%.0f", m.Value)
	if m.Value < 10 {
		number = fmt.Sprintf("%.2g", m.Value)
	}
	return number + " " + m.What + " (" + m.Source + ")"
}

// wrapped is printWrapped with the mark in the head painted.
func (p page) wrapped(head string, style terminal.Style, text string) {
	indent := strings.Repeat(" ", terminal.Columns(head))
	for _, line := range terminal.Break(text, p.Width-len(indent)) {
		if style != terminal.Plain {
			mark, rest := head[:9], head[9:]
			head, style = p.Paint(style, mark)+rest, terminal.Plain
		}
		fmt.Fprintln(p, head+line)
		head = indent
	}
}
