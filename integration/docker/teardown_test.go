package docker_test

import (
	"errors"
	"syscall"
	"time"
)

// stop ends the daemon and takes away all that it made, also after a test that went wrong.
func (d *daemon) stop() error {
	if d == nil {
		return nil
	}
	var problems []error
	if d.exited != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // stops its containers and its containerd
		select {
		case <-d.exited:
		case <-time.After(30 * time.Second):
			problems = append(problems, errors.New("dockerd does not end\n"+d.lastWords()))
			_ = d.cmd.Process.Kill()
			<-d.exited
		}
		_ = d.log.Close()
	}
	return errors.Join(append(problems, d.Clear(d.admin("reconcile")))...)
}
