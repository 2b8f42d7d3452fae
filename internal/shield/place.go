package shield

import (
	"slices"

	"k8s.io/utils/cpuset"
)

// The levels at which CPUs hang together, from the outside in. Kinds are no places: faster cores come first.
const (
	levelNode = iota
	levelKind
	levelDie
	levelCache
	levelCluster
	levelCore
	levels
)

// core is what of one core can be granted.
type core struct {
	// free are its free CPUs in the pool, of size that are online.
	free []int
	size int
	// in says which domain of each level it is in, -1 for one that the kernel does not tell.
	in [levels]int
}

func (c core) whole() bool { return len(c.free) == c.size }

// placer chooses CPUs. At each level, from the outside in, it takes the domain that the request fits best, and spreads it
// over several only where none has enough.
type placer struct {
	topo  Topology
	terms Terms
	// near are the nodes to be next to. Empty: any.
	near cpuset.CPUSet
	// nodes are the numbers of the nodes, in order: a core's domain at levelNode is an index into it.
	nodes []int
	cores []core
	// open counts the CPUs that are free, by level and domain.
	open [levels]map[int]int
}

// spot is a set of CPUs that could be granted.
type spot struct {
	cpus []int
	// cores are those that it takes of, and spent how many CPUs of each nobody else can have then: under isolate the
	// siblings too.
	cores []core
	spent []int
	score score
	// left counts the free CPUs that stay behind in its domains, by level.
	left [levels]int
	// won are the comparisons that it was chosen in, outermost first.
	won []contest
}

func newPlacer(topo Topology, terms Terms, near, free cpuset.CPUSet) *placer {
	p := &placer{topo: topo, terms: terms, near: near, nodes: nodesInOrder(topo)}
	nodes := make([]cpuset.CPUSet, len(p.nodes))
	for i, node := range p.nodes {
		nodes[i] = topo.Nodes[node]
	}
	var domain [levels]map[int]int // of each CPU
	for level, sets := range map[int][]cpuset.CPUSet{
		levelNode: nodes, levelKind: topo.Kinds, levelDie: topo.Dies, levelCache: topo.Caches, levelCluster: topo.Clusters,
	} {
		domain[level] = map[int]int{}
		for i, set := range sets {
			for _, cpu := range set.UnsortedList() {
				domain[level][cpu] = i
			}
		}
	}
	for i, threads := range topo.Cores {
		c := core{size: threads.Size()}
		for _, cpu := range threads.List() {
			if free.Contains(cpu) {
				c.free = append(c.free, cpu)
			}
		}
		if len(c.free) == 0 {
			continue
		}
		for level := range levelCore {
			number, known := domain[level][c.free[0]]
			if !known {
				number = -1
			}
			c.in[level] = number
		}
		c.in[levelCore] = i
		p.cores = append(p.cores, c)
	}
	for level := range levels {
		p.open[level] = map[int]int{}
		for _, c := range p.cores {
			p.open[level][c.in[level]] += len(c.free)
		}
	}
	return p
}

func nodesInOrder(topo Topology) []int {
	nodes := make([]int, 0, len(topo.Nodes))
	for node := range topo.Nodes {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	return nodes
}

// choose gives the best spot for a request, nil for none.
func (p *placer) choose() *spot {
	cores := p.cores
	if p.terms.NUMA == NUMASingle && !p.near.IsEmpty() {
		cores = nil
		for _, c := range p.cores {
			if p.near.Contains(p.node(c)) {
				cores = append(cores, c)
			}
		}
	}
	if p.terms.NUMA == NUMAAny && p.near.IsEmpty() {
		return p.place(cores, levelNode+1, p.terms.Count)
	}
	return p.place(cores, levelNode, p.terms.Count)
}

// node gives the number of a core's node; -1 where the kernel does not tell.
func (p *placer) node(c core) int {
	if at := c.in[levelNode]; at >= 0 {
		return p.nodes[at]
	}
	return -1
}

// place chooses n CPUs of cores, which are in one domain of the level above.
func (p *placer) place(cores []core, level, n int) *spot {
	if p.capacity(cores, n) < n {
		return nil
	}
	if level == levels || level > levelNode && p.capacity(cores, 1<<16) == n {
		return p.judge(p.take(cores, n))
	}
	groups := split(cores, level)
	if len(groups) == 1 {
		return p.place(groups[0], level+1, n)
	}
	var spots []*spot
	if level != levelKind { // not all on slower cores where faster ones are free
		for _, group := range groups {
			if found := p.place(group, level+1, n); found != nil {
				spots = append(spots, found)
			}
		}
	}
	if len(spots) == 0 && !(level == levelNode && p.terms.NUMA == NUMASingle) {
		spots = p.spread(groups, level, n)
		if len(spots) == 0 && level < levelCore { // cores of several sizes that fit only in another order
			return p.place(cores, levelCore, n)
		}
	}
	return best(spots, level)
}

// take gives n CPUs of cores where there is no choice: of one core, or all that there are.
func (p *placer) take(cores []core, n int) *spot {
	s := &spot{}
	for i, c := range cores {
		size := p.capacity(cores[i:i+1], n-len(s.cpus))
		if size == 0 {
			continue
		}
		spent := size
		if p.terms.SMT == SMTIsolate {
			spent = len(c.free)
		}
		s.cpus = append(s.cpus, c.free[:size]...)
		s.cores, s.spent = append(s.cores, c), append(s.spent, spent)
	}
	slices.Sort(s.cpus)
	return s
}

// capacity says how many of at most n CPUs the thread policy lets a request take of cores: isolate one of each whole
// core, require all of whole cores, prefer any.
func (p *placer) capacity(cores []core, n int) int {
	sum := 0
	switch p.terms.SMT {
	case SMTIsolate:
		for _, c := range cores {
			if c.whole() {
				sum++
			}
		}
	case SMTRequire:
		size := 0
		for _, c := range cores {
			size = max(size, c.size)
		}
		for ; size > 0; size-- {
			for _, c := range cores {
				if c.size == size && c.whole() && sum+size <= n {
					sum += size
				}
			}
		}
	default:
		for _, c := range cores {
			sum += len(c.free)
		}
	}
	return min(sum, n)
}

// spread gives spots over several groups, none of which has enough: the groups as they come, and from each size of group
// on the largest that are left. So many CPUs can be had of few groups by taking from the largest, or by two that they fill.
func (p *placer) spread(groups [][]core, level, n int) []*spot {
	spots := p.over(groups, level, n, 0, true, nil)
	if level == levelKind {
		return spots
	}
	var tried []int
	for first, group := range groups {
		size := p.capacity(group, n)
		if level != levelNode && slices.Contains(tried, size) { // nodes differ in their distance to the others too
			continue
		}
		tried = append(tried, size)
		spots = p.over(groups, level, n, first, false, spots)
	}
	return spots
}

// over takes all of the first group, then of the others, and adds the spot to spots.
func (p *placer) over(groups [][]core, level, n, first int, inOrder bool, spots []*spot) []*spot {
	whole := &spot{}
	used := make([]bool, len(groups))
	for at, rest := first, n; rest > 0; {
		used[at] = true
		if size := p.capacity(groups[at], rest); size > 0 {
			part := p.place(groups[at], level+1, size)
			if part == nil {
				return spots
			}
			whole.add(part)
			rest -= size
		}
		if inOrder {
			at++
		} else {
			at = p.next(groups, used, level, rest, first)
		}
		if rest > 0 && (at < 0 || at == len(groups)) {
			return spots
		}
	}
	slices.Sort(whole.cpus)
	return append(spots, p.judge(whole))
}

// next gives the group to go on with: one that has all of the rest, else most of it; of these the nearest to the first,
// then the one with the least that is free. -1 for none.
func (p *placer) next(groups [][]core, used []bool, level, rest, first int) int {
	found, rank := -1, [3]int{}
	for i, group := range groups {
		size := p.capacity(group, rest)
		if used[i] || size == 0 {
			continue
		}
		mine := [3]int{rest - size, 0, 0}
		if level == levelNode {
			mine[1] = p.topo.distance(p.node(groups[first][0]), p.node(group[0]))
		}
		for _, c := range group {
			mine[2] += len(c.free)
		}
		if found < 0 || slices.Compare(mine[:], rank[:]) < 0 {
			found, rank = i, mine
		}
	}
	return found
}

// split parts cores by their domain, in the order of the first of each; the fastest kind first.
func split(cores []core, level int) [][]core {
	var groups [][]core
	at := map[int]int{}
	for _, c := range cores {
		i, known := at[c.in[level]]
		if !known {
			i = len(groups)
			at[c.in[level]], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	if level == levelKind {
		slices.SortStableFunc(groups, func(a, b []core) int { return a[0].in[level] - b[0].in[level] })
	}
	return groups
}

func (s *spot) add(part *spot) {
	s.cpus = append(s.cpus, part.cpus...)
	s.cores, s.spent = append(s.cores, part.cores...), append(s.spent, part.spent...)
}
