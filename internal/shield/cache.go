package shield

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Ways are the ways of the last level of cache (L3), a bit for each, by domain.
type Ways map[int]uint64

// Cache is what the L3 of a host can be divided into.
type Cache struct {
	// Why it cannot; "" if it can.
	Why string
	// Full has all ways, Shareable those that devices fill too. MinWays is the least that a group may have.
	Full, Shareable uint64
	MinWays         int
	// CLOSIDs is how many groups there can be, with that of all other tasks.
	CLOSIDs int
	// Groups are those that there are, by name: a container's is that of its id.
	Groups map[string]Ways
	// Domains tells each CPU's.
	Domains map[int]int
}

// ParseL3 reads the class option l3: "keep", or "exclusive:4" for so many ways that no other task fills. 0 is keep.
func ParseL3(text string) (ways int, err error) {
	if text == Keep {
		return 0, nil
	}
	number, found := strings.CutPrefix(text, "exclusive:")
	ways, convErr := strconv.Atoi(number)
	if !found || convErr != nil || ways < 1 || ways > 64 {
		return 0, errors.New(`"keep", or a number of ways, such as "exclusive:4"`)
	}
	return ways, nil
}

// chooseWays finds ways that nobody else has, in every L3 next to the CPUs.
func chooseWays(host Host, grants []Grant, cpus cpuset.CPUSet, request Request, terms Terms) (Ways, error) {
	if terms.Class.L3 == 0 {
		return nil, nil
	}
	refuse := func(why, help string) error {
		return fmt.Errorf("container %s asks for %d ways of the L3 of its own (class %s, l3): %s%s", request.Name, terms.Class.L3, terms.Class.Name, why, help)
	}
	cache := host.Cache
	if cache.Why != "" {
		return nil, refuse("this host cannot: ", cache.Why)
	}
	if terms.Class.L3 < cache.MinWays || terms.Class.L3 >= bits.OnesCount64(cache.Full) {
		return nil, refuse(fmt.Sprintf("this host has %d, of which a group may have %d or more, and all other tasks need some", bits.OnesCount64(cache.Full), cache.MinWays), "")
	}
	if request.HasRDT {
		return nil, refuse("config.json has linux.intelRdt already", ": leave that out, or take a class without l3")
	}
	groups := cache.foreign(grants)
	coming := len(without(grants, func(g Grant) bool { return len(g.Ways) == 0 }))
	if taken := 1 + len(groups) + coming; taken >= cache.CLOSIDs {
		return nil, refuse(fmt.Sprintf("all %d groups that the processor knows are taken (%s)", cache.CLOSIDs, holdersOfWays(grants, groups)), ": stop one, or remove groups below /sys/fs/resctrl")
	}
	chosen := Ways{}
	for _, cpu := range cpus.List() {
		domain, known := cache.Domains[cpu]
		if !known {
			return nil, refuse(fmt.Sprintf("CPU %d has no L3", cpu), ": choose CPUs with one")
		}
		if chosen[domain] != 0 {
			continue
		}
		taken := cache.Shareable
		for _, ways := range groups {
			taken |= ways[domain]
		}
		for _, grant := range grants {
			taken |= grant.Ways[domain]
		}
		if chosen[domain] = cache.fit(terms.Class.L3, domain, taken, grants); chosen[domain] == 0 {
			return nil, refuse(fmt.Sprintf("L3 %d has not so many side by side that nobody else fills (all: %x; devices: %x; %s)", domain, cache.Full, cache.Shareable, holdersOfWays(grants, groups)),
				": ask for fewer, or choose CPUs of another L3")
		}
	}
	return chosen, nil
}

// foreign are the groups that are no container's of ours.
func (c Cache) foreign(grants []Grant) map[string]Ways {
	groups := maps.Clone(c.Groups)
	maps.DeleteFunc(groups, func(name string, _ Ways) bool {
		return slices.ContainsFunc(grants, func(g Grant) bool { return g.ID == name && len(g.Ways) > 0 })
	})
	return groups
}

// fit chooses n ways side by side that leave most of the others side by side, as the processors want every group's; of as good
// ones the lowest. 0 for none.
func (c Cache) fit(n, domain int, taken uint64, grants []Grant) uint64 {
	held := heldWays(grants)[domain]
	best, bestLeft := uint64(0), max(c.MinWays, 1)-1
	for mask := uint64(1)<<n - 1; mask&^c.Full == 0; mask <<= 1 {
		left := bits.OnesCount64(longest(c.Full &^ (held | mask)))
		if mask&taken == 0 && left > bestLeft {
			best, bestLeft = mask, left
		}
		if mask>>63 == 1 {
			break
		}
	}
	return best
}

// longest gives the longest run of bits, the lowest of several.
func longest(mask uint64) (best uint64) {
	for mask != 0 {
		start := bits.TrailingZeros64(mask)
		length := bits.TrailingZeros64(^(mask >> start))
		run := (uint64(1)<<length - 1) << start
		if bits.OnesCount64(run) > bits.OnesCount64(best) {
			best = run
		}
		mask &^= run
	}
	return best
}

// heldWays are those that grants have, by domain.
func heldWays(grants []Grant) Ways {
	held := Ways{}
	for _, grant := range grants {
		for domain, ways := range grant.Ways {
			held[domain] |= ways
		}
	}
	return held
}

func holdersOfWays(grants []Grant, groups map[string]Ways) string {
	var parts []string
	for _, grant := range grants {
		if len(grant.Ways) > 0 {
			parts = append(parts, grant.Name+": "+grant.Ways.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		parts = append(parts, name+": "+groups[name].String())
	}
	return strings.Join(parts, ", ")
}

// String gives "0=f;1=f", as the kernel has it.
func (w Ways) String() string {
	var parts []string
	for _, domain := range slices.Sorted(maps.Keys(w)) {
		parts = append(parts, fmt.Sprintf("%d=%x", domain, w[domain]))
	}
	return strings.Join(parts, ";")
}

// planWays leaves all other tasks the longest run of what the grants have not.
func planWays(ledger *Ledger, seen Observation) []Setting {
	if seen.Ways == nil {
		return nil
	}
	knob := Knob{L3Ways, ""}
	held := heldWays(ledger.Grants)
	recorded, known := ledger.Baselines[knob.String()]
	if !known && len(held) == 0 {
		return nil
	}
	setting := Setting{Knob: knob, Baseline: seen.Ways.String(), Now: seen.Ways.String()}
	baseline := seen.Ways
	if known {
		setting.Baseline = recorded
		baseline = parseWays(recorded)
	}
	want := maps.Clone(baseline)
	for domain, taken := range held {
		if all, there := want[domain]; there && all&taken != 0 {
			want[domain] = longest(all &^ taken)
		}
	}
	setting.Want = want.String()
	return []Setting{setting}
}

// parseWays reads what String gave.
func parseWays(text string) Ways {
	ways := Ways{}
	for part := range strings.SplitSeq(text, ";") {
		id, mask, _ := strings.Cut(part, "=")
		domain, err := strconv.Atoi(id)
		if bits, errMask := strconv.ParseUint(mask, 16, 64); err == nil && errMask == nil {
			ways[domain] = bits
		}
	}
	return ways
}
