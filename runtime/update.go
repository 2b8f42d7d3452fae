package runtime

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/privilege"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// change is one call of the verb update.
type change struct {
	existing
	asked shield.Update
	// noted is the container's bound on CPU time, nil without one.
	noted *shield.Limited
	// resources is what --resources gave, data its text. Nil where the call has flags.
	resources *spec.Resources
	data      []byte
}

// maxResources bounds what is read of an update's JSON. Real ones are below 10 kB.
const maxResources = 4 << 20

// update is the verb of that name. A container keeps what it was granted, whatever the update leaves out, and nobody's
// update reaches CPUs that another container holds.
func update(inv argv.Invocation) (int, error) {
	if privilege.Shield() != nil { // nobody is shielded here
		return 1, delegate.PassOn(inv.Argv)
	}
	e, err := find(inv)
	if err = errors.Join(err, e.unread()); err != nil {
		return 1, err
	}
	if e.idle && !e.bound {
		return 1, delegate.Become(e.delegate, inv.Argv)
	}
	c := &change{existing: e}
	if c.noted, err = c.store.Limited(c.key); err != nil {
		return 1, fmt.Errorf("update of container %s could take its bandwidth: %w", inv.ID, err)
	}
	ledger, err := c.store.Peek()
	if err != nil {
		return 1, fmt.Errorf("update of container %s could take from a shield: %w", inv.ID, err)
	}
	_ = watch.Ensure(c.store, ledger) // status tells
	if err := c.read(); err != nil {
		if errors.Is(err, spec.ErrNotJSON) || errors.Is(err, errNothing) || errors.Is(err, fs.ErrNotExist) { // the delegate has its own words for this
			c.noted = nil
			return c.pass()
		}
		return 1, fmt.Errorf("update of container %s: %w", inv.ID, err)
	}
	if grant := ledger.Grant(c.key); grant != nil {
		return c.shielded(*grant)
	}
	if c.noted != nil {
		return c.limited(ledger)
	}
	return c.cpus(ledger)
}

// read reads what is asked for. errNothing means that the delegate will refuse it.
func (c *change) read() error {
	name, given := c.inv.Flag("resources")
	if !given || name == "" {
		return c.readFlags()
	}
	file := os.Stdin
	if name != "-" {
		var err error
		if file, err = os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
			return fmt.Errorf("resources: %w", err)
		}
		defer file.Close()
	}
	data, err := io.ReadAll(io.LimitReader(file, maxResources+1))
	switch {
	case err != nil:
		return fmt.Errorf("resources: %w", err)
	case len(data) > maxResources:
		return fmt.Errorf("resources: larger than %d MiB", maxResources>>20)
	}
	c.data = data
	resources, err := spec.ParseResources(data)
	if err != nil {
		return err
	}
	c.resources = resources
	c.asked, err = resources.Update()
	return err
}

func (c *change) readFlags() error {
	c.asked.CPUs, _ = c.inv.Flag("cpuset-cpus")
	c.asked.Mems, _ = c.inv.Flag("cpuset-mems")
	for name, into := range map[string]*int64{
		"cpu-quota": &c.asked.Quota, "cpu-rt-runtime": &c.asked.RTRuntime, "cpu-rt-period": &c.asked.RTPeriod, "cpu-idle": &c.asked.Idle,
	} {
		value, given := c.inv.Flag(name)
		if !given || value == "" {
			continue
		}
		var err error
		if *into, err = strconv.ParseInt(value, 10, 64); err != nil {
			return errNothing
		}
	}
	return nil
}

// pass makes this process the delegate, with the resources as they came, unless a bound has to be noted afterwards.
func (c *change) pass() (int, error) {
	if c.noted != nil {
		return c.run()
	}
	args, err := c.handOver(c.data)
	if err != nil {
		return 1, err
	}
	return 1, delegate.Become(c.delegate, args)
}

// run runs the delegate with the rewritten update.
func (c *change) run() (int, error) {
	var data []byte
	if c.resources != nil {
		data = c.resources.JSON()
	}
	args, err := c.handOver(data)
	if err != nil {
		return 1, err
	}
	env, err := delegate.Environ()
	if err != nil {
		return 1, err
	}
	return delegate.Run(c.delegate, args, env)
}

// handOver gives the delegate a text on stdin, in memory of the kernel's: it never stands on a disk.
func (c *change) handOver(data []byte) ([]string, error) {
	if data == nil {
		return c.inv.Argv, nil
	}
	file, err := inMemory("resources", data)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := unix.Dup3(int(file.Fd()), 0, 0); err != nil {
		return nil, fmt.Errorf("resources for the delegate: %w", err)
	}
	return c.inv.Replace("resources", "-"), nil
}

// keep makes the update say what the container has. Flags that only repeat it are emptied: no delegate reads those.
func (c *change) keep(grant shield.Grant) {
	cpus, mems := grant.Cpuset(), grant.Mems
	if grant.Pinned { // there is no cpuset controller
		cpus, mems = shield.CPUs{}, shield.CPUs{}
	}
	if c.resources != nil {
		c.resources.Keep(cpus, mems, grant.Share)
		return
	}
	for name, value := range map[string]string{
		"cpuset-cpus": cpus.String(), "cpuset-mems": mems.String(),
		"cpu-quota": "", "cpu-period": "", "cpu-burst": "", "cpu-rt-runtime": "", "cpu-rt-period": "",
	} {
		if _, given := c.inv.Flag(name); given || value != "" {
			c.inv = argv.Parse(c.inv.Replace(name, value))
		}
	}
	c.setShare(grant.Share)
}

func (c *change) setFlag(name string, value int64) {
	c.inv = argv.Parse(c.inv.Replace(name, strconv.FormatInt(value, 10)))
}

// setCPUs changes the CPUs alone.
func (c *change) setCPUs(cpus shield.CPUs) {
	if c.resources != nil {
		c.resources.SetCPUs(cpus)
		return
	}
	c.inv = argv.Parse(c.inv.Replace("cpuset-cpus", cpus.String()))
}
