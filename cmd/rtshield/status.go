package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/internal/verify"
)

const statusHelp = `The CPUs by NUMA node and core, the threads of a core below each other: a capital letter for the
container that has one, the same small letter where a sibling stays idle for it, = housekeeping,
· free. Then a line for each container, what arrived on its CPUs, and what limits it.

   AGE      since it got its CPUs, or what keeps it from using them
   IRQS     interrupts of devices since then; TICKS of the local timer; IPIS from other CPUs
   FOREIGN  for how long tasks of others ran there, or how often at most
   LIMITS   how much this host cannot do, or somebody has changed

EXAMPLES
   rtshield status
   rtshield status --watch --interval 1s
   rtshield status --json | jq '.cpus[] | select(.use == "free") | .cpu'
   rtshield status --prometheus --output /var/lib/prometheus/node-exporter/rtshield.prom`

// showing is the command status.
func showing(jsonFlag cli.Flag) *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "how the CPUs are split, who has which, and what limits it", Description: statusHelp,
		Flags: []cli.Flag{
			jsonFlag,
			&cli.BoolFlag{Name: "prometheus", Usage: "print metrics, for the textfile collector of Prometheus' node exporter", DisableDefaultText: true},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "replace `FILE`, whole or not at all, and print nothing"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "draw it anew until Ctrl-C, and stress what has changed", DisableDefaultText: true},
			&cli.DurationFlag{Name: "interval", Usage: "how often --watch looks", Value: 2 * time.Second},
			&cli.DurationFlag{Name: "sample", Usage: "wait for as long, such as 5s, and tell what containers with a bandwidth got meanwhile", DefaultText: "none"},
		},
		Action: showStatus,
	}
}

func showStatus(c *cli.Context) error {
	if err := errors.Join(noArguments(c), statusFlags(c)); err != nil {
		return err
	}
	if c.Bool("watch") {
		return watchStatus(c)
	}
	now, err := gather(c.Bool("prometheus"), c.Duration("sample"))
	if err != nil {
		return err
	}
	show := func(w io.Writer) error {
		switch {
		case c.Bool("json"):
			return printJSON(w, now)
		case c.Bool("prometheus"):
			return now.Prometheus(w, version)
		}
		printStatus(terminal.To(w), now, nil)
		return nil
	}
	if file := c.String("output"); file != "" {
		return replaceFile(file, show)
	}
	return show(c.App.Writer)
}

// gather counts promises too where a program watches: a person has rtshield verify.
func gather(promises bool, sample time.Duration) (*status.Status, error) {
	if !promises {
		return status.Gather(host.System, sample)
	}
	job, err := verify.Open(host.System)
	if err != nil {
		return nil, err
	}
	return job.Status(sample)
}

// statusFlags refuses those that do not go together.
func statusFlags(c *cli.Context) error {
	if sample := c.Duration("sample"); sample < 0 || sample > time.Hour {
		return fmt.Errorf("--sample %v: expected a duration up to 1h, such as 5s", sample)
	}
	if interval := c.Duration("interval"); interval < 100*time.Millisecond || interval > time.Hour {
		return fmt.Errorf("--interval %v: expected a duration of 100ms to 1h", interval)
	}
	for _, one := range []struct {
		flag  string
		never []string
	}{{"watch", []string{"json", "prometheus", "output", "sample"}}, {"json", []string{"prometheus"}}} {
		for _, other := range one.never {
			if c.IsSet(one.flag) && c.IsSet(other) {
				return fmt.Errorf("--%s and --%s do not go together: leave one out", one.flag, other)
			}
		}
	}
	if c.IsSet("interval") && !c.Bool("watch") {
		return errors.New("--interval is for --watch: add that, or leave it out")
	}
	return nil
}

// replaceFile replaces a file by what show writes. It is for everybody to read, as the node exporter's user has to.
func replaceFile(file string, show func(io.Writer) error) error {
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() { // a rename would put a file in the place of /dev/stdout
		return fmt.Errorf("--output %s: that is no regular file", file)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--output: %w", err)
	}
	var text bytes.Buffer
	if err := show(&text); err != nil {
		return err
	}
	err := renameio.WriteFile(file, text.Bytes(), 0, renameio.WithTempDir(filepath.Dir(file)), renameio.WithStaticPermissions(0o644))
	if err != nil {
		return fmt.Errorf("--output %s: %w", file, err)
	}
	return nil
}

// watchStatus draws the state again and again, until somebody ends it.
func watchStatus(c *cli.Context) error {
	file, _ := c.App.Writer.(*os.File)
	if file == nil || !terminal.Is(file) {
		return errors.New("--watch draws on a terminal, and the output is none: leave it out, or call rtshield status in a loop")
	}
	interval := c.Duration("interval")
	var before *status.Status
	err := terminal.Watch(file, interval, func(page terminal.Page) error {
		now, err := status.Gather(host.System, 0)
		if err != nil {
			return err
		}
		head := fmt.Sprintf("rtshield status, every %v, %s, Ctrl-C ends it", interval, time.Now().Format(time.TimeOnly))
		fmt.Fprintln(page, page.Paint(terminal.Faint, head))
		printStatus(page, now, before)
		before = now
		return nil
	})
	var ended terminal.Ended
	if errors.As(err, &ended) {
		return exit{code: 128 + int(ended.Signal)}
	}
	return err
}
