package shield

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// The words of class option hugepages: a container gets pages that are free, or what is missing is reserved for it.
const (
	Static  = "static"
	Reserve = "reserve"
)

// Pages is a number of huge pages of one size, in bytes.
type Pages struct {
	Size  uint64
	Count int64
}

// maxPages of one size are more than any machine has, maxPageSize is above every size there is.
const (
	maxPages    = 1 << 30
	maxPageSize = 1 << 40
)

// ParsePages reads sizes with their numbers, "1Gi=2, 2Mi=64", each size once.
func ParsePages(text string) ([]Pages, error) {
	wrong := fmt.Errorf(`%.80q: expected sizes of huge pages, each with a number, such as "1Gi=2, 2Mi=64"`, text)
	var list []Pages
	for part := range strings.SplitSeq(text, ",") {
		name, number, found := strings.Cut(part, "=")
		size, known := parsePageSize(strings.TrimSpace(name))
		count, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		again := slices.ContainsFunc(list, func(p Pages) bool { return p.Size == size })
		if !found || !known || err != nil || count < 1 || count > maxPages || again {
			return nil, wrong
		}
		list = append(list, Pages{size, count})
	}
	return list, nil
}

// parsePageSize reads 2Mi as Kubernetes writes it, and 2M, 2MB and 2MiB: the sizes of huge pages are powers of two in any
// of them.
func parsePageSize(text string) (uint64, bool) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "B"), "i")
	for unit, shift := range map[string]int{"K": 10, "M": 20, "G": 30} {
		number, found := strings.CutSuffix(text, unit)
		if n, err := strconv.ParseUint(number, 10, 32); found && err == nil && n > 0 && n&(n-1) == 0 && n<<shift < maxPageSize {
			return n << shift, true
		}
	}
	return 0, false
}

// PageSize writes a size as ParsePages reads it, such as 2Mi.
func PageSize(size uint64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"Gi", 30}, {"Mi", 20}} {
		if size>>unit.shift > 0 {
			return fmt.Sprint(size>>unit.shift, unit.name)
		}
	}
	return fmt.Sprint(size>>10, "Ki")
}

// String gives the form that ParsePages reads, of one size.
func (p Pages) String() string { return fmt.Sprintf("%s=%d", PageSize(p.Size), p.Count) }

// chooseHugePages takes what the annotation asks for, and what the engine limits the container to: a limit promises no page,
// and a program that maps what is not there dies of SIGBUS.
func chooseHugePages(terms *Terms, request Request) error {
	choice, asked := request.Choices[KeyHugePages]
	if asked {
		pages, err := ParsePages(choice.Value)
		if err != nil {
			return fmt.Errorf("annotation %s = %w", choice.Source, err)
		}
		terms.HugePages = pages
	}
	for _, limit := range request.HugePages {
		wanted := Pages{limit.PageSize, int64(limit.Bytes / limit.PageSize)}
		i := slices.IndexFunc(terms.HugePages, func(p Pages) bool { return p.Size == wanted.Size })
		switch {
		case i >= 0 && terms.HugePages[i] != wanted:
			return fmt.Errorf("annotation %s asks for %d huge pages of %s, but the engine limits the container to %d (linux.resources.hugepageLimits; a pod's hugepages-%s): make them agree, or leave the annotation out",
				choice.Source, terms.HugePages[i].Count, PageSize(wanted.Size), wanted.Count, PageSize(wanted.Size))
		case i < 0 && wanted.Count > 0:
			terms.HugePages = append(terms.HugePages, wanted)
		}
	}
	for _, pages := range terms.HugePages {
		if ceiling, bounded := terms.Class.maxHugePages(pages.Size); bounded && pages.Count > ceiling {
			return fmt.Errorf("container %s asks for %d huge pages of %s; class %s allows at most %d: ask for fewer, or raise max_hugepages",
				request.Name, pages.Count, PageSize(pages.Size), terms.Class.Name, ceiling)
		}
	}
	return nil
}

// maxHugePages is the class's ceiling. A size that max_hugepages leaves out may not be had.
func (c Class) maxHugePages(size uint64) (ceiling int64, bounded bool) {
	for _, pages := range c.MaxHugePages {
		if pages.Size == size {
			return pages.Count, true
		}
	}
	return 0, len(c.MaxHugePages) > 0
}

// validateHugePages: without a bound one container could have all of the host's memory reserved for it.
func (c Class) validateHugePages() error {
	if c.HugePages == Reserve && len(c.MaxHugePages) == 0 {
		return optionError("hugepages", c.HugePages, `max_hugepages beside it, such as "1Gi=4, 2Mi=512"`)
	}
	return nil
}

// PageShare is what a grant has been promised of one memory node's huge pages of one size.
type PageShare struct {
	// Size is in bytes.
	Size  uint64 `json:"size"`
	Node  int    `json:"node"`
	Count int64  `json:"count"`
	// Reserved of them were missing, and are added to the pool while the container lives.
	Reserved int64 `json:"reserved,omitempty"`
}

// Knob is the size of that pool.
func (s PageShare) Knob() Knob {
	return Knob{HugePagePool, fmt.Sprintf("%d/%d", s.Node, s.Size>>10)}
}

func (s PageShare) String() string {
	text := fmt.Sprintf("%s on node %d", Pages{s.Size, s.Count}, s.Node)
	if s.Reserved > 0 {
		text += fmt.Sprintf(" (%d reserved for it)", s.Reserved)
	}
	return text
}

// PagePools are the pools of huge pages, by size in bytes and memory node.
type PagePools map[uint64]map[int]PagePool

// PagePool is one node's pool.
type PagePool struct {
	Free int64
	// Used is how many of them each container has in use, as far as the kernel counts that (hugetlb cgroups).
	Used map[Key]int64
}

// Left is how many nobody has been promised. Below zero, the promises cannot all be kept.
func (p PagePools) Left(grants []Grant, size uint64, node int) int64 {
	pool := p[size][node]
	left := pool.Free
	for _, grant := range grants {
		left -= grant.untouched(pool, size, node)
	}
	return left
}

// untouched is how many of the pool's free pages are this grant's. What is reserved for it is there once it is bound.
func (g Grant) untouched(pool PagePool, size uint64, node int) int64 {
	var count int64
	for _, share := range g.HugePages {
		if share.Size == size && share.Node == node {
			count += share.Count
			if !g.Bound {
				count -= share.Reserved
			}
		}
	}
	return max(count-pool.Used[g.Key], 0)
}

// noPagesError: the nodes of the chosen CPUs have too few huge pages.
type noPagesError struct{ text string }

func (e *noPagesError) Error() string { return e.text }

// sharePages finds the huge pages for a request on the nodes of its memory.
func sharePages(host Host, grants []Grant, cpus, mems cpuset.CPUSet, request Request, terms Terms) ([]PageShare, error) {
	var shares []PageShare
	for _, pages := range terms.HugePages {
		if len(host.HugePages[pages.Size]) == 0 {
			return nil, fmt.Errorf("container %s asks for huge pages of %s: this host has none of that size (it has %s)",
				request.Name, PageSize(pages.Size), host.HugePages.sizes())
		}
		rest := pages.Count
		for _, node := range mems.List() {
			if take := min(host.HugePages.Left(grants, pages.Size, node), rest); take > 0 {
				shares = append(shares, PageShare{Size: pages.Size, Node: node, Count: take})
				rest -= take
			}
		}
		switch {
		case rest == 0:
		case terms.Class.HugePages != Reserve:
			help := "ask for fewer"
			if nodes := nodesWithPages(host, grants, terms); !nodes.IsEmpty() {
				help += ", or choose CPUs of node " + nodes.String()
			}
			return nil, &noPagesError{fmt.Sprintf("container %s asks for %d huge pages of %s; memory node %s next to its CPU %s has %d to give (%s): reserve more there (/sys/devices/system/node/node*/hugepages), %s",
				request.Name, pages.Count, PageSize(pages.Size), mems, cpus, pages.Count-rest, host.HugePages.where(grants, pages.Size), help)}
		default:
			shares = reserve(shares, pages.Size, mems.List()[0], rest)
		}
	}
	return shares, nil
}

// reserve adds pages of a size that are to be reserved on a node.
func reserve(shares []PageShare, size uint64, node int, count int64) []PageShare {
	i := slices.IndexFunc(shares, func(s PageShare) bool { return s.Size == size && s.Node == node })
	if i < 0 {
		shares = append(shares, PageShare{Size: size, Node: node})
		i = len(shares) - 1
	}
	shares[i].Count += count
	shares[i].Reserved = count
	return shares
}

// where tells of each node how many pages of a size are free, and whose they are to be.
func (p PagePools) where(grants []Grant, size uint64) string {
	var nodes []string
	for _, node := range slices.Sorted(maps.Keys(p[size])) {
		pool := p[size][node]
		text := fmt.Sprintf("node %d: %d free", node, pool.Free)
		for _, grant := range grants {
			if count := grant.untouched(pool, size, node); count > 0 {
				text += fmt.Sprintf(", %d of them for %s", count, grant.Name)
			}
		}
		nodes = append(nodes, text)
	}
	return strings.Join(nodes, "; ")
}

func (p PagePools) sizes() string {
	var names []string
	for _, size := range slices.Sorted(maps.Keys(p)) {
		names = append(names, PageSize(size))
	}
	if len(names) == 0 {
		return "none at all"
	}
	return strings.Join(names, ", ")
}

// nodesWithPages are the nodes that have all the huge pages that a request asks for.
func nodesWithPages(host Host, grants []Grant, terms Terms) cpuset.CPUSet {
	var nodes []int
	for node := range host.Topology.Nodes {
		if !slices.ContainsFunc(terms.HugePages, func(p Pages) bool { return host.HugePages.Left(grants, p.Size, node) < p.Count }) {
			nodes = append(nodes, node)
		}
	}
	return cpuset.New(nodes...)
}

// planHugePages adds to each pool what is reserved in it.
func planHugePages(ledger *Ledger, seen Observation) []Setting {
	reserved := map[Knob]int64{}
	for _, grant := range ledger.Grants {
		for _, share := range grant.HugePages {
			reserved[share.Knob()] += share.Reserved
		}
	}
	var settings []Setting
	for knob, now := range seen.HugePages {
		baseline := now
		recorded, known := ledger.Baselines[knob.String()]
		if known {
			baseline, _ = strconv.ParseInt(recorded, 10, 64)
		}
		if known || reserved[knob] > 0 {
			settings = append(settings, Setting{
				Knob:     knob,
				Baseline: strconv.FormatInt(baseline, 10), Now: strconv.FormatInt(now, 10), Want: strconv.FormatInt(baseline+reserved[knob], 10),
			})
		}
	}
	return settings
}
