package reconcile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/hugepages"
	"github.com/rtshield/rtshield/internal/shield"
)

// HugePages reads the pools of huge pages, and how many the live containers have in use. counted is false where the kernel does
// not tell that of all of them.
func HugePages(root host.Root, ledger *shield.Ledger) (pools shield.PagePools, counted bool, err error) {
	sizes, err := hugepages.Sizes(root)
	if err != nil {
		return nil, false, err
	}
	nodes, err := hugepages.Nodes(root)
	if err != nil {
		return nil, false, err
	}
	pools, counted = shield.PagePools{}, true
	for _, size := range sizes {
		pools[size] = map[int]shield.PagePool{}
		for _, node := range nodes {
			free, err := hugepages.Free(root, node, size)
			if gone(err) { // a node without memory
				continue
			}
			if err != nil {
				return nil, false, fmt.Errorf("huge pages: %w", err)
			}
			pools[size][node] = shield.PagePool{Free: free, Used: map[shield.Key]int64{}}
		}
	}
	for _, grant := range ledger.Grants {
		counted = countPages(root, grant, pools) && counted
	}
	return pools, counted, nil
}

// countPages says whether it could. Of who is not counted it is taken that nothing is in use yet.
func countPages(root host.Root, grant shield.Grant, pools shield.PagePools) bool {
	if len(grant.HugePages) == 0 || !grant.Bound {
		return true
	}
	control, found, err := hugepages.Controller(root, grant.Owner.PID)
	if err != nil || !found {
		return false
	}
	for _, share := range grant.HugePages {
		used, err := control.Used(root, share.Size)
		if err != nil {
			return false
		}
		for node, count := range used {
			if pool, known := pools[share.Size][node]; known {
				pool.Used[grant.Key] = count
			}
		}
	}
	return true
}

// pool is the node and size that a knob's name says.
func pool(knob shield.Knob) (node int, size uint64) {
	before, after, _ := strings.Cut(knob.Name, "/")
	node, _ = strconv.Atoi(before)
	kB, _ := strconv.ParseUint(after, 10, 64)
	return node, kB << 10
}

// observeHugePages reads the pools that something is, or was, reserved in.
func observeHugePages(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	knobs := ledger.Noted(shield.HugePagePool)
	for _, grant := range ledger.Grants {
		for _, share := range grant.HugePages {
			if share.Reserved > 0 {
				knobs = append(knobs, share.Knob())
			}
		}
	}
	for _, knob := range knobs {
		node, size := pool(knob)
		now, err := hugepages.Reserved(root, node, size)
		if gone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("huge pages: %w", err)
		}
		seen.HugePages[knob] = now
	}
	return nil
}

func setPages(root host.Root, setting shield.Setting) error {
	pages, err := strconv.ParseInt(setting.Want, 10, 64)
	if err != nil {
		return err
	}
	node, size := pool(setting.Knob)
	return hugepages.Reserve(root, node, size, pages)
}
