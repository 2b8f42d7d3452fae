package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime"
)

func administrate(argv []string) int {
	err := administrator().Run(argv)
	var status exit
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &status):
		return complain(err)
	case status.err != nil:
		complain(status.err)
	}
	return status.code
}

// exit ends a command with a status of its own, and a line unless all is said.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return fmt.Sprintf("exit status %d: %v", e.code, e.err) }

const explainHelp = `Makes the decision that create would make now, and says where each part of it is from: the runtime's
name, an annotation, what the engine wrote, a line of the policy file, what is built in, the kernel.
It changes nothing.

EXAMPLES
   rtshield explain --bundle /run/containerd/io.containerd.runtime.v2.task/k8s.io/4f2a
   rtshield explain --class fifo              the bundle that one is in, as if called by rtshield-fifo
   rtshield explain --json | jq '.why[] | select(.what == "level")'`

const reconcileHelp = `Repairs what somebody has changed, gives back what containers left that ended without a release, and
starts the process that gives threads what their rules say, where that is gone. Safe at any time.

EXAMPLES
   rtshield reconcile
   systemctl restart irqbalance && rtshield reconcile`

// administrator is the command line of the administrator's commands.
func administrator() *cli.App {
	jsonFlag := &cli.BoolFlag{Name: "json", Usage: "print JSON"}
	app := &cli.App{
		Name: "rtshield", Version: version, HideVersion: true,
		Usage: "a drop-in OCI runtime for real-time containers",
		Description: "An engine calls rtshield where it would call runc; every OCI verb (create, start, kill, …) goes to the real runc.\n" +
			"The commands below are for the administrator.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "root", Usage: "the delegate's state root (explain)"}, cli.HelpFlag},
		Commands: []*cli.Command{
			showing(jsonFlag),
			{
				Name: "explain", Usage: "what create would give a bundle and why, and every change it would make", Description: explainHelp,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: ".", Usage: "the bundle's directory"},
					&cli.StringFlag{Name: "class", Usage: "as if called by the name rtshield-CLASS"},
					&cli.StringFlag{Name: "id", Value: "new", Usage: "the container's id"},
					jsonFlag,
				},
				Action: explain,
			},
			{
				Name: "reconcile", Usage: "bring the host to what the live containers need, and say what was done", Description: reconcileHelp,
				Action: repair,
			},
			verifying(jsonFlag),
			checking(jsonFlag),
			measuring(jsonFlag),
		},
		ExitErrHandler: func(*cli.Context, error) {}, // run prints it
	}
	app.Commands = append(app.Commands, installing()...)
	app.Commands = append(app.Commands, completing(), helping())
	return app
}

func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("%s takes no argument, got %q", c.Command.Name, c.Args().First())
	}
	return nil
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func explain(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	explanation, err := runtime.Explain(host.System, c.String("bundle"), c.String("root"), c.String("id"), c.String("class"))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, explanation)
	}
	printExplanation(terminal.To(c.App.Writer), explanation)
	return nil
}

func repair(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	policy, err := config.Load()
	if err != nil {
		return err
	}
	bootID, err := host.System.BootID()
	if err != nil {
		return err
	}
	store := shield.Store{Dir: policy.State, BootID: bootID}
	return bringBack(c.App.Writer, "reconcile", policy, store, func(session *shield.Session) (reconcile.Report, error) {
		defer reconcile.CleanTrial(host.System)
		return reconcile.Run(host.System, session)
	})
}

// bringBack runs a reconcile under the ledger's lock, and prints what was done.
func bringBack(w io.Writer, who string, policy config.Config, store shield.Store, run func(*shield.Session) (reconcile.Report, error)) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s changes kernel settings: run it as root", who)
	}
	if err := runtime.PointAt(policy.Delegates); err != nil {
		return err
	}
	if !store.Exists() {
		if err := reconcile.LostError(host.System, store, &shield.Ledger{}); err != nil {
			return err
		}
	}
	if !store.Exists() && !reconcile.Leftover(host.System) && !reconcile.TrialLeft(host.System) {
		fmt.Fprintln(w, "nothing to do: no container holds a CPU, and no setting waits to go back")
		return nil
	}
	session, err := store.Open(who)
	if err != nil {
		return err
	}
	defer session.Close()
	report, err := run(session)
	unwatched := watch.Wanted(session.Ledger) && !watch.Runs(store)
	if err == nil {
		err = errors.Join(report.Stuck(session.Ledger), watch.Ensure(store, session.Ledger))
	}
	if len(session.Grants) == 0 { // as for a ledger of another boot
		err = errors.Join(err, reconcile.LostError(host.System, store, session.Ledger))
	}
	if err == nil && unwatched {
		fmt.Fprintln(w, "started the process that gives threads what their rules say")
	}
	if err == nil && !unwatched || len(report.Dropped)+len(report.Changed) > 0 {
		printReport(w, report, len(session.Grants))
	}
	return err
}
