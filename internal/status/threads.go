package status

import (
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
)

// addThreads shows the rules of a grant and the threads that they are for.
func addThreads(root host.Root, store shield.Store, grant shield.Grant, shown *Grant) {
	for _, rule := range grant.Threads {
		shown.Rules = append(shown.Rules, rule.String())
	}
	if len(grant.Threads) == 0 || shown.State != "bound" {
		return
	}
	if !watch.Runs(store) {
		shown.Limits = append(shown.Limits, shield.Limit{
			What: "threads that are born or renamed from now on keep what they have", Why: "the process that watches them was ended", Help: Reconcile,
			Kind: shield.ByRule, Drift: true,
		})
	}
	threads, err := reconcile.Threads(root, grant)
	if err != nil {
		shown.Limits = append(shown.Limits, shield.Limit{Kind: shield.ByRule, What: "its threads are not compared with their rules", Why: err.Error()})
	}
	shown.Threads = threads
	var misplaced []string
	for _, thread := range threads {
		if thread.Misplaced() {
			misplaced = append(misplaced, fmt.Sprintf("%s has %s, not %s", thread.Name, thread.Now, thread.Want))
		}
	}
	if len(misplaced) > 0 {
		shown.Limits = append(shown.Limits, shield.Limit{
			What: fmt.Sprintf("%d thread(s) are not as their rule says: %s", len(misplaced), strings.Join(misplaced, ", ")),
			Why:  "the program changed them, or the kernel refused", Help: Reconcile,
			Kind: shield.ByRule, Drift: true,
		})
	}
}
