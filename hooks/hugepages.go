package hooks

import (
	"errors"
	"fmt"

	"github.com/rtshield/rtshield/internal/host/hugepages"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// pagesError: the kernel makes a pool as large as it can, and says nothing.
func (c call) pagesError(name string, refused reconcile.Refusal) error {
	return fmt.Errorf("container %s needs %s huge pages in %s, which had %s; the kernel found memory for %s (%w): free memory there, ask for fewer, or reserve them at boot (hugepages=)",
		name, refused.Want, reconcile.KnobPath(refused.Knob), refused.Baseline, refused.Now, refused.Err)
}

// checkHugePages reads back that the pages are there, and that the container may have them.
func (c call) checkHugePages(session *shield.Session, grant shield.Grant) error {
	if len(grant.HugePages) == 0 {
		return nil
	}
	pools, counted, err := reconcile.HugePages(c.host, session.Ledger)
	if err != nil {
		return err
	}
	promised := map[uint64]int64{}
	for _, share := range grant.HugePages {
		promised[share.Size] += share.Count
		left := pools.Left(session.Grants, share.Size, share.Node)
		if !counted { // what others have in use is not missing in what is free
			left = pools[share.Size][share.Node].Free - share.Count
		}
		if left < 0 {
			return fmt.Errorf("container %s was promised %s, and %d of that have been taken by others since: reserve more there (%s)",
				grant.Name, share, min(-left, share.Count), reconcile.KnobPath(share.Knob()))
		}
	}
	control, limited, err := hugepages.Controller(c.host, c.pid)
	if err != nil || !limited {
		return err
	}
	for size, count := range promised {
		if limit, err := control.Limit(c.host, size); err != nil || limit < uint64(count)*size {
			return errors.Join(fmt.Errorf("container %s was promised %d huge pages of %s, but its cgroup %s may have %d bytes of them",
				grant.Name, count, shield.PageSize(size), control.Dir, limit), err)
		}
	}
	return nil
}
