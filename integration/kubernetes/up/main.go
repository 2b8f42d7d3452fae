// Command up runs the cluster of these tests until Ctrl-C, and gives the host back what it was.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/rtshield/rtshield/integration/kubernetes/cluster"
)

func init() { runtime.LockOSThread() } // the cluster ends with the thread that started it

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it runs a kubelet")
	}
	c, err := cluster.Start()
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err != nil {
		return err
	}
	fmt.Printf(`Node %s is ready, CPU %s is for pods that have it alone; pods name the node themselves (nodeName).
  export KUBECONFIG=%s PATH=%s:$PATH
  export %s       # for rtshield status
Ctrl-C ends it.
`, cluster.Name, c.Shielded, c.Kubeconfig, c.Programs(), c.Policy.Env())
	<-ctx.Done()
	return nil
}
