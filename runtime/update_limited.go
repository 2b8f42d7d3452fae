package runtime

import "github.com/rtshield/rtshield/internal/shield"

// limited is the update of an ordinary container whose CPU time rtshield has bound. One that names a quota is the engine's word,
// and holds from then on. One that says nothing of it, or repeats what the engine wrote at create, keeps the bound: with each
// update engines also send a period, which alone would make another part of a CPU out of our quota, and the delegate forgets
// what is left out.
func (c *change) limited(ledger *shield.Ledger) (int, error) {
	noted := *c.noted
	replaces := noted.Replaces(c.asked)
	switch {
	case !replaces:
		c.setShare(noted.Share)
	case noted.Share.Burst > 0: // the kernel takes no quota below it
		c.dropBurst()
	}
	code, err := c.cpus(ledger)
	if err != nil || code != 0 || !replaces {
		return code, err
	}
	noted.Share = shield.Share{}
	warn(c.store.SaveLimited(noted)) // the container has what the engine asked for
	return 0, nil
}

// cpus goes on with what an update says of CPUs, which others may hold.
func (c *change) cpus(ledger *shield.Ledger) (int, error) {
	if c.asked.CPUs == "" || c.idle {
		return c.pass()
	}
	return c.ordinary(ledger.OrdinaryOf(c.key))
}

// setShare makes the update say what the container has of CPU time, if that is bound.
func (c *change) setShare(share shield.Share) {
	if !share.Limited() {
		return
	}
	if c.resources != nil {
		c.resources.SetShare(share)
		return
	}
	c.setFlag("cpu-quota", share.Quota)
	c.setFlag("cpu-period", share.Period)
	if share.Burst > 0 {
		c.setFlag("cpu-burst", share.Burst)
	}
}

func (c *change) dropBurst() {
	if c.resources != nil {
		c.resources.DropBurst()
		return
	}
	c.setFlag("cpu-burst", 0)
}
