package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/latency"
	"github.com/rtshield/rtshield/internal/latency/plot"
	"github.com/rtshield/rtshield/internal/latency/workload"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime"
	"github.com/rtshield/rtshield/runtime/delegate"
)

const latencyHelp = `Runs cyclictest (rt-tests) in containers made of the host's own programs, read-only: with plain runc, with runc and a
cpuset, and with rtshield, in turns, while a load runs on everything else. Prints how late each was woken, and writes the
histograms as OUTPUT.svg, OUTPUT.png and OUTPUT.json. The load takes all CPUs that nobody holds: not on a host in use.

Ctrl-C ends it, leaves the host as it was, and prints what there is.

EXIT STATUS
   0  measured, and within --max
   1  the latest wake-up under rtshield came after more than --max
   2  it could not be measured, or the command was wrong
   130  interrupted

EXAMPLES
   rtshield latency
   rtshield latency --rounds 1 --duration 5s --output ""
   rtshield latency --max 50us || echo "not on this host"
   rtshield latency --annotation rtshield.io/cstates=off --output no-sleep
   rtshield latency --load "stress-ng --cpu 0 --switch 4 --hdd 1"`

func measuring(jsonFlag cli.Flag) *cli.Command {
	return &cli.Command{
		Name: "latency", Usage: "what the shield is worth on this host: cyclictest under load, with and without it",
		Description: latencyHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "class", Value: "fifo", Usage: "the `CLASS` of rtshield's container"},
			&cli.GenericFlag{Name: "annotation", Value: annotations{}, Usage: "`KEY=VALUE`, one more annotation of it"},
			&cli.IntFlag{Name: "rounds", Value: 5, Usage: "rounds of each way"},
			&cli.DurationFlag{Name: "duration", Value: 10 * time.Second, Usage: "length of a round of one way, in whole seconds"},
			&cli.DurationFlag{Name: "interval", Value: time.Millisecond, Usage: "time between two wake-ups"},
			&cli.StringFlag{Name: "load", Value: workload.Builtin, Usage: "builtin, none, or a `COMMAND` that runs until it is ended"},
			&cli.BoolFlag{Name: "hold-cpu-dma-latency", Usage: "let no CPU sleep meanwhile, as cyclictest does by itself", DisableDefaultText: true},
			&cli.DurationFlag{Name: "max", Usage: "the latest wake-up that may be, such as 50us", DefaultText: "none"},
			&cli.StringFlag{Name: "output", Value: "rtshield-latency", Usage: "where the files go, without .svg; empty: none is written"},
			jsonFlag,
		},
		Action: measureLatency,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return exit{2, fmt.Errorf("%w: rtshield latency --help", err)}
		},
	}
}

func measureLatency(c *cli.Context) error {
	options, err := latencyOptions(c)
	if err != nil {
		return exit{2, err}
	}
	output := c.String("output")
	if err := mayWrite(output); err != nil {
		return exit{2, err}
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	shown := newProgress(options, os.Stderr)
	options.Progress = shown.begin
	report, err := latency.Measure(ctx, options)
	shown.end()
	if err != nil {
		return exit{2, err}
	}
	report.Limit = c.Duration("max").Microseconds()
	if c.Bool("json") {
		err = printJSON(c.App.Writer, report)
	} else {
		printLatency(c.App.Writer, report)
	}
	if err == nil && output != "" && report.Shielded().Samples > 0 {
		err = writeReport(os.Stderr, report, output)
	}
	if err != nil {
		return exit{2, err}
	}
	return latencyVerdict(report)
}

// latencyVerdict is the exit status. What was interrupted has passed no test.
func latencyVerdict(report *latency.Report) error {
	kept, why := true, ""
	if report.Limit > 0 {
		kept, why = report.Verdict()
	}
	switch {
	case report.Interrupted:
		return exit{130, errors.New("interrupted")}
	case !kept:
		return exit{1, errors.New(why)}
	}
	return nil
}

// annotations are KEY=VALUE, as often as one likes: a list of cli's own would be cut at commas.
type annotations map[string]string

func (a annotations) String() string { return "" }

func (a annotations) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found || key == "" {
		return fmt.Errorf("expected KEY=VALUE, such as %s/cstates=off", shield.Domain)
	}
	a[key] = value
	return nil
}

// latencyOptions checks the command line, before anything is started.
func latencyOptions(c *cli.Context) (o latency.Options, err error) {
	o = latency.Options{
		Version: version, Rounds: c.Int("rounds"), Length: c.Duration("duration"), Interval: c.Duration("interval"),
		Load: c.String("load"), Hold: c.Bool("hold-cpu-dma-latency"),
		Explain: func(bundle, root, id string) (*shield.Grant, error) {
			explanation, err := runtime.Explain(host.System, bundle, root, id, "")
			if err != nil {
				return nil, err
			}
			return explanation.Grant, nil
		},
		Annotations: map[string]string{shield.Domain + "/" + shield.KeyClass: c.String("class")},
	}
	maps.Copy(o.Annotations, c.Generic("annotation").(annotations))
	switch {
	case c.Args().Present():
		return o, noArguments(c)
	case o.Rounds < 1:
		return o, fmt.Errorf("--rounds %d: expected 1 or more", o.Rounds)
	case o.Length < time.Second || o.Length%time.Second != 0:
		return o, fmt.Errorf("--duration %v: expected whole seconds, such as 10s", o.Length)
	case o.Interval < 50*time.Microsecond || o.Interval > o.Length/10:
		return o, fmt.Errorf("--interval %v: expected at least 50us, and at most a tenth of --duration", o.Interval)
	case c.IsSet("max") && c.Duration("max") < time.Microsecond:
		return o, fmt.Errorf("--max %v: expected at least 1us, such as 50us", c.Duration("max"))
	case strings.TrimSpace(o.Load) == "":
		return o, errors.New("--load: expected builtin, none, or a command")
	}
	if os.Geteuid() != 0 {
		return o, errors.New("latency runs containers and changes kernel settings: run it as root")
	}
	policy, err := config.Load()
	if err != nil {
		return o, err
	}
	if o.Delegate, err = delegate.Find(policy.Delegates); err != nil {
		return o, err
	}
	if o.Program, err = os.Executable(); err != nil {
		return o, err
	}
	o.Cyclictest, err = latency.FindCyclictest()
	return o, err
}

func printLatency(w io.Writer, report *latency.Report) {
	for _, line := range report.Conditions() {
		printWrapped(w, "", line)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "HOW\tCPUS\tPOLICY\t")
	for _, p := range latency.Percentiles {
		fmt.Fprintf(table, "%s µs\t", strings.ToUpper(latency.PercentileName(p)))
	}
	fmt.Fprintln(table, "MAX µs\tSAMPLES")
	for _, way := range report.Ways {
		fmt.Fprintf(table, "%s\t%s\t%s\t", way.Name, orNone(way.CPUs), way.Policy)
		for _, p := range latency.Percentiles {
			if us, known := way.Percentiles[latency.PercentileName(p)]; known {
				fmt.Fprintf(table, "%d\t", us)
			} else {
				fmt.Fprint(table, "-\t")
			}
		}
		fmt.Fprintf(table, "%d\t%d\n", way.Max, way.Samples)
	}
	table.Flush()
	fmt.Fprintln(w)
	if compared := report.Compared(); compared != "" {
		printWrapped(w, "", compared)
	}
	if len(report.Cause) == 1 {
		printWrapped(w, "why a wake-up is late: ", report.Cause[0])
	} else {
		for _, line := range report.Cause {
			fmt.Fprintln(w, line)
		}
	}
	if report.Limit > 0 && !report.Interrupted {
		if kept, why := report.Verdict(); kept {
			fmt.Fprintln(w, why)
		}
	}
}

// mayWrite finds out before minutes of measuring whether the files can be written.
func mayWrite(output string) error {
	if output == "" {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(output), ".rtshield-latency-")
	if err != nil {
		return fmt.Errorf("--output %s: %w", output, err)
	}
	file.Close()
	return os.Remove(file.Name())
}

// writeReport writes the files, the PNG by the program that is beside this one.
func writeReport(w io.Writer, report *latency.Report, output string) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(output+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(output+".svg", plot.SVG(report), 0o644); err != nil {
		return err
	}
	files := output + ".json, " + output + ".svg"
	self, err := os.Executable()
	if err != nil {
		return err
	}
	plotter := filepath.Join(filepath.Dir(self), "rtshield-plot")
	if _, err := os.Stat(plotter); err != nil {
		fmt.Fprintf(w, "wrote %s; no PNG: %s is not there (make install puts it there)\n", files, plotter)
		return nil
	}
	if out, err := exec.CommandContext(context.Background(), plotter, output+".json", output+".png").CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", plotter, err, strings.TrimSpace(string(out)))
	}
	fmt.Fprintf(w, "wrote %s, %s.png\n", files, output)
	return nil
}
