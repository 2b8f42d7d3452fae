package status

import (
	"errors"
	"io/fs"
	"time"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/shield"
)

// Bandwidth is what a container may have of CPU time, and what it got.
type Bandwidth struct {
	ID   string `json:"id"`
	Root string `json:"root"`
	Name string `json:"name"`
	// Asked is cpu-bandwidth as the container asked for it, Share what holds now, Changed that somebody has set another since,
	// as the engine may.
	Asked   string       `json:"asked,omitempty"`
	Share   shield.Share `json:"share,omitzero"`
	Changed bool         `json:"changed,omitempty"`
	// RealTime is rt-bandwidth, of each of its CPUs; By the budget or the fair server that it comes from.
	RealTime string `json:"realTime,omitempty"`
	By       string `json:"by,omitempty"`
	// Life is what it got since it was created, Last what it got while status looked.
	Life bandwidth.Usage  `json:"life"`
	Last *bandwidth.Usage `json:"last,omitempty"`

	place  bandwidth.Place
	counts bandwidth.Counters
}

// bandwidths tells of all containers that asked for a bandwidth and whose cgroup is there. With a sample, it counts twice.
func bandwidths(root host.Root, store shield.Store, ledger *shield.Ledger, sample time.Duration) ([]Bandwidth, error) {
	var all []Bandwidth
	for _, grant := range ledger.Grants {
		if one, ok := ofGrant(root, grant); ok {
			all = append(all, one)
		}
	}
	noted, err := store.AllLimited()
	if hidden := errors.Is(err, fs.ErrPermission); err != nil && !hidden {
		return nil, err
	}
	for _, limited := range noted {
		if one, ok := ofLimited(root, limited); ok {
			all = append(all, one)
		}
	}
	if sample > 0 {
		time.Sleep(sample)
	}
	for i := range all {
		if now, err := bandwidth.Count(root, all[i].place); err == nil && sample > 0 {
			last := now.Since(all[i].counts)
			all[i].Last = &last
		}
	}
	return all, nil
}

func ofGrant(root host.Root, grant shield.Grant) (one Bandwidth, ok bool) {
	if !grant.Bound || !grant.Share.Limited() && grant.RTBandwidth == 0 {
		return one, false
	}
	one = Bandwidth{ID: grant.ID, Root: grant.Root, Name: grant.Name, place: bandwidth.Place{CPU: grant.Cgroups.CPU, Account: grant.Cgroups.Account}}
	if grant.Share.Limited() {
		one.Asked = grant.Share.Percent().String()
	}
	switch {
	case grant.RTBandwidth == 0:
	case grant.Budget.Period > 0:
		one.RealTime, one.By = grant.RTBandwidth.String(), "the real-time budget of its cgroup"
	default:
		one.RealTime, one.By = grant.RTBandwidth.String(), "the fair server of its CPUs"
	}
	return one, one.read(root, grant.Owner, grant.Share)
}

func ofLimited(root host.Root, limited shield.Limited) (one Bandwidth, ok bool) {
	one = Bandwidth{ID: limited.ID, Root: limited.Root, Name: limited.Name, Asked: limited.Asked}
	for _, cgroup := range limited.Cgroups {
		place, found, err := bandwidth.Find(root, cgroup)
		if err == nil && found {
			one.place = place
			return one, one.read(root, limited.Owner, limited.Share)
		}
	}
	return one, false
}

// read counts for the first time. A cgroup that has gone meanwhile has nothing to tell.
func (b *Bandwidth) read(root host.Root, owner shield.Owner, promised shield.Share) bool {
	if b.place.CPU == "" || b.place.Account == "" { // nothing was counted
		return false
	}
	limit, err := bandwidth.Read(root, b.place.CPU)
	if err != nil {
		return false
	}
	if b.Share = shield.Share(limit); limit.Quota == 0 {
		b.Share = shield.Share{}
	}
	b.Changed = b.Asked != "" && b.Share != promised
	if b.counts, err = bandwidth.Count(root, b.place); err != nil {
		return false
	}
	const tick = 10_000_000 // ns: start times are in units of 10 ms (USER_HZ)
	b.Life = b.counts.Since(bandwidth.Counters{At: int64(owner.Start) * tick})
	return true
}
