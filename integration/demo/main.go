// Command demo shows what rtshield does: it runs one and the same container on a
// host under load three ways (runc; runc with only `cpus` set; rtshield), says how
// late each was woken, and proves that the host is as before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/internal/latency/workload"
)

// options are the command line.
type options struct {
	bin     string // where runc, rtshield and probe are
	seconds float64
	rounds  int
}

func main() {
	if workload.Is(os.Args[1:]) { // a child of ours
		os.Exit(workload.Main(os.Args[1:]))
	}
	var o options
	flag.StringVar(&o.bin, "bin", bundle.BinDir(), "folder of runc, rtshield and probe")
	flag.Float64Var(&o.seconds, "seconds", 4, "length of a round of one way")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each way")
	flag.Parse()
	if flag.NArg() > 0 || o.seconds <= 0 || o.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if os.Geteuid() != 0 {
		fail(errors.New("must run as root: it runs containers and compares settings that only root may read"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := demo(ctx, o)
	stop()
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// demo does everything that has to be undone, and undoes it. It prints what it
// found also when a later step fails.
func demo(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "rtshield-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if errors.Is(err, errHost) { // the ledger says what the settings were
			fmt.Fprintln(os.Stderr, "demo: kept", dir)
			return
		}
		bundle.Forget(dir)
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	s, err := newStage(dir, o)
	if err != nil {
		return err
	}
	before := s.snapshot()
	// Whatever happens in between, the host must be as before.
	defer func() { err = errors.Join(err, s.prove(before)) }()

	load, err := workload.Start(workload.Builtin, dir)
	if err != nil {
		return err
	}
	defer load.Stop()
	fmt.Println(headline(load.What))
	fmt.Printf("a container wakes up every millisecond; each way %d times %g s, in turns\n\n", o.rounds, o.seconds)

	if err := s.rehearse(ctx); err != nil {
		return err
	}
	for i := range o.rounds {
		for _, w := range s.ways {
			if err := s.round(ctx, w, i); err != nil {
				return err
			}
		}
	}
	load.Stop() // before printing: nothing is measured any more
	s.print(os.Stdout)
	return s.judge()
}

// limit is how long a round may take altogether: the measuring, and a container's
// start and end on a host whose CPUs are all busy.
func (o options) limit() time.Duration {
	return time.Duration(o.seconds*float64(time.Second)) + 30*time.Second
}
