package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/internal/verify"
)

const verifyHelp = `Holds every promise of the live containers, or of those named, against the kernel as it is now. A line for each:

   holds    the kernel has what was promised
   BROKEN   it had, and has it no more; by whom, where that can be told
   cannot   this host never could (a limit)
   unknown  it could not be looked at

--repair first does what rtshield reconcile does, for all containers, and mends what each has itself: its cgroup, the policy
of its first thread, threads above its class's ceiling. Then it verifies.

EXIT STATUS
   0  all holds that this host can do
   1  something is broken
   2  it could not be looked at, or the command was wrong

EXAMPLES
   rtshield verify
   rtshield verify web --json
   rtshield verify --repair || mail -s "a shield is broken" root </dev/null`

func verifying(jsonFlag cli.Flag) *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "whether all that live containers were promised holds now",
		ArgsUsage: "[ID…]", Description: verifyHelp,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "repair", Usage: "mend what can be mended first", DisableDefaultText: true}, jsonFlag},
		Action: verifyAll,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return exit{2, fmt.Errorf("%w: rtshield verify --help", err)}
		},
	}
}

func verifyAll(c *cli.Context) error {
	ids, asJSON, repairs := []string{}, c.Bool("json"), c.Bool("repair")
	for _, word := range c.Args().Slice() { // cli takes no flag behind the first id
		switch {
		case word == "--json":
			asJSON = true
		case word == "--repair":
			repairs = true
		case strings.HasPrefix(word, "-"):
			return exit{2, fmt.Errorf("verify: %q is neither a flag nor an id: rtshield verify --help", word)}
		default:
			ids = append(ids, word)
		}
	}
	job, err := verify.Open(host.System)
	if err != nil {
		return exit{2, err}
	}
	var repaired []string
	if repairs {
		if repaired, err = mend(&job); err != nil {
			return exit{2, err}
		}
	}
	report, err := job.Check(ids...)
	if err != nil {
		return exit{2, err}
	}
	report.Repaired = repaired
	if asJSON {
		err = printJSON(c.App.Writer, report)
	} else {
		printVerified(c.App.Writer, report)
	}
	if err != nil {
		return exit{2, err}
	}
	if code := report.ExitStatus(); code != 0 {
		return exit{code: code}
	}
	return nil
}

// mend repairs, and gives what was done, a line for each.
func mend(job *verify.Job) ([]string, error) {
	var text strings.Builder
	var mended []string
	err := bringBack(&text, "verify --repair", job.Policy, job.Store, func(session *shield.Session) (report reconcile.Report, err error) {
		report, mended, err = verify.Repair(job.Root, session, job.Policy.Classes)
		job.Told = slices.ContainsFunc(report.Changed, func(c reconcile.Change) bool { return c.Kind == shield.Irqbalance })
		return report, err
	})
	lines := slices.DeleteFunc(strings.Split(text.String(), "\n"), func(line string) bool {
		return line == "" || len(mended) > 0 && strings.HasPrefix(line, nothingToDo)
	})
	return append(lines, mended...), err
}

func printVerified(w io.Writer, report *verify.Report) {
	if len(report.Repaired) > 0 {
		fmt.Fprintln(w, "repair:")
		for _, line := range report.Repaired {
			printWrapped(w, "  ", line)
		}
		fmt.Fprintln(w)
	}
	printPromises(w, report.Host)
	for _, container := range report.Containers {
		printWrapped(w, "", fmt.Sprintf("%s: class %s, %s %s, pid %d", container.Name, container.Class, whose(container), container.CPUs, container.PID))
		printPromises(w, container.Promises)
		if len(container.Promises) == 0 {
			fmt.Fprintln(w, "  it is being created, or moved to other CPUs: there is nothing to compare now")
		}
		if delta := container.Interference; delta != nil {
			for _, cpu := range delta.CPUs {
				if !cpu.Offline {
					printLine(w, "counted", fmt.Sprintf("CPU %d", cpu.CPU), strings.Join(arrived(delta, cpu), ", ")+" in "+seconds(delta.Seconds))
				}
			}
		}
		fmt.Fprintln(w)
	}
	if len(report.Containers) == 0 && len(report.Host) == 0 {
		fmt.Fprintln(w, "no container holds a CPU: nothing was promised")
		return
	}
	fmt.Fprintf(w, "%s: %d hold, %d broken, %d this host cannot, %d unknown\n", many(uint64(len(report.Containers)), "container"),
		report.Totals[verify.Holds], report.Totals[verify.Broken], report.Totals[verify.Cannot], report.Totals[verify.Unknown])
}

func whose(container verify.Container) string {
	if container.Shared {
		return "among others on CPU"
	}
	return "CPU"
}

func printPromises(w io.Writer, promises []verify.Promise) {
	for _, promise := range promises {
		mark := string(promise.Mark)
		if promise.Mark == verify.Broken {
			mark = strings.ToUpper(mark)
		}
		text := promise.What
		if promise.Why != "" {
			text += ": " + promise.Why
		}
		if promise.Help != "" {
			text += " (" + promise.Help + ")"
		}
		printLine(w, mark, promise.Name, text)
	}
}

func printLine(w io.Writer, mark, name, text string) {
	printWrapped(w, fmt.Sprintf("  %-7s  %-11s  ", mark, name), text)
}

// printWrapped puts text behind a head, and what is too long for a line below it.
func printWrapped(w io.Writer, head, text string) { terminal.To(w).Fill(head, text) }
