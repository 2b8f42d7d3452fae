// Command rtshield-node equips a Kubernetes node with rtshield, from a container in which the host's / is mounted. It is a program
// of its own, and not a command of rtshield's, because it speaks to the API server: what HTTP and TLS initialise at start-up, each
// OCI verb would pay for.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/node"
)

// version is set by the Makefile.
var version = "0.1.0-dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := app().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "rtshield-node: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

func app() *cli.App {
	root := &cli.StringFlag{Name: "root", Usage: "where the host's / is mounted", Value: "/host"}
	dir := &cli.StringFlag{Name: "dir", Usage: "the directory on the host that is rtshield's", Value: "/opt/rtshield"}
	image := &cli.StringFlag{Name: "image", Usage: "the directory that rtshield lies in, and runc for a host without one", Value: "/"}
	labels := &cli.StringFlag{Name: "labels", Usage: "who sets the node's labels: api, nfd (Node Feature Discovery), none, or auto: nfd where its directory is", Value: "auto"}
	every := &cli.DurationFlag{Name: "every", Usage: "how often labels and metrics are looked at", Value: 30 * time.Second}
	metrics := &cli.StringFlag{Name: "metrics", Usage: "the `DIRECTORY` of the host in which the node exporter looks for files, none, or auto: a usual one that is there", Value: "auto"}
	from := []cli.Flag{root, dir, image}
	what := []cli.Flag{
		&cli.StringFlag{Name: "engine", Usage: "containerd, crio or docker; default: the one that runs"},
		&cli.StringFlag{Name: "config", Usage: "the engine's configuration `FILE` on the host, where it is not the usual one"},
		&cli.StringSliceFlag{Name: "unit", Usage: "the `SERVICE` that reads it; of several the active one is restarted"},
		&cli.StringSliceFlag{Name: "class", Usage: "also a runtime whose containers are of this `CLASS` without asking"},
		&cli.StringFlag{Name: "policy", Usage: "a policy file for the host, if it is there", Value: "/policy/config.toml"},
	}
	with := func(flags ...[]cli.Flag) (all []cli.Flag) {
		for _, some := range flags {
			all = append(all, some...)
		}
		return all
	}
	return &cli.App{
		Name: "rtshield-node", Version: version, HideVersion: true, HideHelpCommand: true,
		Usage: "brings rtshield onto a Kubernetes node, and takes it off again",
		Commands: []*cli.Command{
			{Name: "run", Usage: "install, and keep the node's labels true until it is told to end", Flags: with(from, what, []cli.Flag{labels, every, metrics}), Action: keep},
			{Name: "remove", Usage: "uninstall once no container of rtshield's runs, and take the labels away", Flags: with(from, what, []cli.Flag{labels, every, metrics}), Action: remove},
			{Name: "install", Usage: "install, once", Flags: with(from, what), Action: install},
			{Name: "uninstall", Usage: "uninstall, unless a container of rtshield's runs", Flags: from, Action: uninstall},
		},
		ExitErrHandler: func(*cli.Context, error) {}, // main prints it
	}
}

func say(line string) { fmt.Println(line) }

func here(c *cli.Context) node.Node {
	return node.Node{
		Root: c.String("root"), Dir: c.String("dir"), Image: c.String("image"),
		Engine: c.String("engine"), Config: c.String("config"), Units: c.StringSlice("unit"), Classes: c.StringSlice("class"),
		Policy: c.String("policy"), Metrics: c.String("metrics"), Run: node.Chroot(c.String("root")), Log: say,
	}
}

// locked does something while nobody else works on the host.
func locked(c *cli.Context, do func(context.Context, node.Node) error) error {
	if c.Args().Present() {
		return fmt.Errorf("%s takes no argument, got %q", c.Command.Name, c.Args().First())
	}
	n := here(c)
	lock, err := n.Lock(c.Context)
	if err != nil {
		return err
	}
	defer lock.Close()
	return do(c.Context, n)
}

func install(c *cli.Context) error {
	return locked(c, func(ctx context.Context, n node.Node) error { return n.Install(ctx) })
}

func uninstall(c *cli.Context) error {
	return locked(c, func(ctx context.Context, n node.Node) error { return n.Remove(ctx) })
}

// keep ends with an error when the host is not as it was installed: the kubelet starts it again, later each time, so that two who
// disagree about a file do not restart the engine all the time.
func keep(c *cli.Context) error {
	return locked(c, func(ctx context.Context, n node.Node) error {
		teller, err := labeller(c, n)
		if err != nil {
			return err
		}
		err = n.Install(ctx)
		for err == nil {
			labels, problem := n.Labels(ctx)
			report(problem)
			report(teller.tell(ctx, labels))
			report(n.WriteMetrics(ctx, labels[node.Ready]))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(c.Duration("every")):
				err = n.Check(ctx)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		return errors.Join(err, teller.tell(ctx, node.Labels{node.Ready: "false"}), n.WriteMetrics(ctx, "false"))
	})
}

// remove stays when all is done: the label that it took away is what brought its pod.
func remove(c *cli.Context) error {
	return locked(c, func(ctx context.Context, n node.Node) error {
		teller, err := labeller(c, n)
		if err != nil {
			return err
		}
		last := ""
		for {
			report(teller.tell(ctx, node.Labels{node.Ready: "false"}))
			err := n.Remove(ctx)
			var users node.InUse
			if err == nil {
				break
			}
			if !errors.As(err, &users) {
				return err
			}
			report(n.WriteMetrics(ctx, "")) // their shields can still break
			if last != err.Error() {
				last = err.Error()
				say("waiting: " + last)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(c.Duration("every")):
			}
		}
		for {
			report(teller.tell(ctx, node.NoLabels()))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(c.Duration("every")):
			}
		}
	})
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "rtshield-node: "+err.Error())
	}
}
