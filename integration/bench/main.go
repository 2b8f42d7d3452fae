// Command bench times rtshield against the runc that it hands over to, in pairs on
// the same host: a verb that passes through, an ordinary container, a shielded one.
// It prints a Markdown table. The ratios are measured, not asserted: the exit status
// is 0 unless a run fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/snapshot"
)

// warmUp pairs are not counted: the first of each kind reads programs from the disk.
const warmUp = 2

func main() {
	bin := flag.String("bin", bundle.BinDir(), "folder of runc and rtshield")
	pairs := flag.Int("n", 30, "pairs of each case")
	flag.Parse()
	if flag.NArg() > 0 || *pairs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, *bin, *pairs)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, pairs int) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it runs containers")
	}
	dir, err := os.MkdirTemp("", "rtshield-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := newField(dir, bin)
	if err != nil {
		return err
	}
	defer func() {
		bundle.Forget(f.memory)
		err = errors.Join(err, os.RemoveAll(f.memory))
	}()
	before := snapshot.Take()
	cases, stop, err := f.cases(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var results []result
	for _, c := range cases {
		fmt.Fprintf(os.Stderr, "%d pairs: %s\n", pairs, c.name)
		r, err := c.measure(ctx, pairs)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	stop()
	fmt.Fprintf(os.Stderr, "%d pairs: rtshield's own work\n", pairs)
	work, err := f.work(ctx, pairs)
	if err != nil {
		return err
	}
	report(os.Stdout, results, work, pairs, f)
	counts, err := f.files(ctx)
	if err != nil {
		return err
	}
	reportFiles(os.Stdout, counts)
	// Not what is measured here, but a bench that changes the host is no bench.
	for _, line := range snapshot.Diff(before, snapshot.Take()) {
		fmt.Fprintln(os.Stderr, "bench: not as before:", line)
	}
	return nil
}
