package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/engine"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/delegate"
)

const installHelp = `The entries are added to what the engine's configuration says: its order, comments and other runtimes stay, and a copy
of the file that is edited is kept beside it. Once more, it changes nothing that is there already.

   docker      runtimes of daemon.json
   containerd  versions 2, 3 and 4 of config.toml, with the options that runc has there (SystemdCgroup); a drop-in where
               the file imports a directory; a template of k3s or RKE2 with --config
   crio        a drop-in in crio.conf.d, with what the default runtime has there
   podman      a drop-in in containers.conf.d

EXAMPLES
   rtshield install docker --dry-run                     show what would change
   rtshield install docker --class fifo --restart        also rtshield-fifo, and dockerd reads it
   rtshield install containerd                           then a RuntimeClass with handler: rtshield
   rtshield install containerd --config /var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl
   rtshield uninstall docker                             takes out what install has put in, and only that`

// installing are the commands install and uninstall, with a command for each engine below, so that flags may stand behind
// the engine's name.
func installing() []*cli.Command {
	restart := &cli.BoolFlag{Name: "restart", Usage: "make the engine read it now", DisableDefaultText: true}
	dryRun := &cli.BoolFlag{Name: "dry-run", Usage: "show the changes as a diff, and make none", DisableDefaultText: true}
	install := &cli.Command{
		Name: "install", Usage: "put rtshield into an engine's configuration: " + engine.Names(),
		ArgsUsage: "ENGINE", Description: installHelp, Action: unknownEngine, OnUsageError: misused,
	}
	uninstall := &cli.Command{
		Name: "uninstall", Usage: "take out what install has put there",
		ArgsUsage: "ENGINE", Action: unknownEngine, OnUsageError: misused,
		Description: "A configuration that nobody has edited since gets back every byte; one that was loses our part only.\n\n" +
			"EXAMPLES\n   rtshield uninstall docker --dry-run\n   rtshield uninstall containerd --restart",
	}
	for _, e := range engine.Engines() {
		file := &cli.StringFlag{Name: "config", Usage: "the engine's configuration `FILE`", Value: e.Config}
		install.Subcommands = append(install.Subcommands, &cli.Command{
			Name: e.Name, Usage: e.Config,
			Flags: []cli.Flag{
				dryRun,
				&cli.StringFlag{Name: "name", Usage: "the runtime's `NAME`", Value: "rtshield"},
				&cli.StringSliceFlag{Name: "class", Usage: "also a runtime whose containers are of this `CLASS` without asking: NAME-CLASS, with a link of that name"},
				file, restart,
			},
			Action: func(c *cli.Context) error { return putIn(c, e) }, OnUsageError: misused,
		})
		uninstall.Subcommands = append(uninstall.Subcommands, &cli.Command{
			Name: e.Name, Usage: e.Config, Flags: []cli.Flag{dryRun, file, restart},
			Action: func(c *cli.Context) error { return takeOut(c, e) }, OnUsageError: misused,
		})
	}
	return []*cli.Command{install, uninstall}
}

// misused keeps the whole help from following a mistake.
func misused(c *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w: %s --help (flags stand behind the engine's name)", err, c.Command.HelpName)
}

func unknownEngine(c *cli.Context) error {
	if !c.Args().Present() {
		return fmt.Errorf("%s what? %s", c.Command.Name, engine.Names())
	}
	return fmt.Errorf("%s: no engine is called %q: %s", c.Command.Name, c.Args().First(), engine.Names())
}

func putIn(c *cli.Context, e engine.Engine) error {
	file, err := target(c, e)
	if err != nil {
		return err
	}
	program, err := engine.Program(os.Args[0])
	if err != nil {
		return err
	}
	policy, err := config.Load()
	if err != nil {
		return err
	}
	classes := c.StringSlice("class")
	for _, class := range classes {
		if _, known := policy.Classes[class]; !known {
			return fmt.Errorf("--class %s: the policy has %s", class, shield.ClassNames(policy.Classes))
		}
	}
	runtimes, err := engine.Runtimes(c.String("name"), program, classes)
	if err != nil {
		return err
	}
	plan, err := e.Install(file, runtimes)
	if err != nil {
		return err
	}
	if plan.Nothing() {
		fmt.Fprintf(c.App.Writer, "nothing to do: %s has %s\n", file, list(runtimes))
		if !c.Bool("restart") {
			return nil
		}
	}
	if done, err := carryOut(c, plan); err != nil || !done {
		return err
	}
	if _, err := delegate.Find(policy.Delegates); err != nil {
		fmt.Fprintf(c.App.Writer, "before a container can run: %v\n", err)
	}
	return load(c, e, file, e.Name+" knows "+list(runtimes))
}

func takeOut(c *cli.Context, e engine.Engine) error {
	file, err := target(c, e)
	if err != nil {
		return err
	}
	plan, err := e.Uninstall(file)
	if err != nil {
		return err
	}
	if !plan.Known() {
		fmt.Fprintf(c.App.Writer, "nothing to do: install has put nothing into %s\n", file)
		return nil
	}
	if done, err := carryOut(c, plan); err != nil || !done {
		return err
	}
	if err := load(c, e, file, e.Name+" has forgotten it"); err != nil || e.Remembers == "" {
		return err
	}
	fmt.Fprintln(c.App.Writer, e.Remembers)
	return nil
}

// target is the file that is meant. An engine of the host's reads its own.
func target(c *cli.Context, e engine.Engine) (string, error) {
	if c.Args().Present() {
		return "", fmt.Errorf("%s takes no argument, got %q", c.Command.HelpName, c.Args().First())
	}
	file, err := filepath.Abs(c.String("config"))
	if err == nil && c.Bool("restart") && e.Unit != "" && file != e.Config {
		return "", fmt.Errorf("--restart is for the service %s, which reads %s: make the one that reads %s do so by hand", e.Unit, e.Config, file)
	}
	return file, err
}

// carryOut shows a plan or carries it out.
func carryOut(c *cli.Context, plan *engine.Plan) (done bool, err error) {
	steps := plan.Steps()
	if c.Bool("dry-run") {
		plan.Diff(c.App.Writer)
		for _, step := range steps {
			fmt.Fprintln(c.App.Writer, "would", step)
		}
		return false, nil
	}
	if err := plan.Apply(); err != nil {
		return false, err
	}
	for _, step := range steps {
		fmt.Fprintln(c.App.Writer, step)
	}
	return true, nil
}

// load makes the engine read its configuration, or says how.
func load(c *cli.Context, e engine.Engine, file, then string) error {
	command := fmt.Sprintf("systemctl %s %s", e.Load, e.Unit)
	switch {
	case e.Unit == "":
		then += " from its next command on"
	case file != e.Config:
		then += " after a restart of the service that reads " + file
	case !c.Bool("restart"):
		then += " after: " + command
	case !systemd.Runs(host.System):
		return fmt.Errorf("--restart: systemd does not run here: %s %s in its own way", e.Load, e.Unit)
	default:
		out, err := exec.CommandContext(c.Context, "systemctl", "--no-ask-password", e.Load, e.Unit).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(out)))
		}
		then += ": " + command
	}
	fmt.Fprintln(c.App.Writer, then)
	return nil
}

func list(runtimes []engine.Runtime) string {
	names := make([]string, len(runtimes))
	for i, r := range runtimes {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}
