package status

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// pageLimits: huge pages that a grant was promised and that others have taken, as far as the kernel counts who has them.
func pageLimits(root host.Root, ledger *shield.Ledger, grant shield.Grant) []shield.Limit {
	if len(grant.HugePages) == 0 {
		return nil
	}
	pools, counted, err := reconcile.HugePages(root, ledger)
	if err != nil || !counted {
		return nil
	}
	var limits []shield.Limit
	for _, share := range grant.HugePages {
		if left := pools.Left(ledger.Grants, share.Size, share.Node); left < 0 {
			limits = append(limits, shield.Limit{
				What: fmt.Sprintf("huge pages: %d of %s on node %d are missing", -left, shield.PageSize(share.Size), share.Node),
				Why:  "somebody took them, or made the pool smaller", Help: "reserve more in " + reconcile.KnobPath(share.Knob()),
				Kind: shield.HugePagePool, Drift: true,
			})
		}
	}
	return limits
}
