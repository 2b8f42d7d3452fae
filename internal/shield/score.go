package shield

import "slices"

// contest is one comparison, the winner first.
type contest struct {
	level int
	spots []*spot
}

// What a spot is judged by, the most important first. Less is better.
const (
	byNodes    = iota
	byDistance // to what the request wants to be near, else of its nodes from each other
	bySpeed    // how many steps its cores are below the fastest
	byDies
	byCaches
	byClusters
	byCores
	breaksNode // how much less the free CPUs lie together afterwards: the fuller one is the better fit
	breaksCache
	breaksDie
	breaksCluster
	breaksCore
	byNumber
	judged
)

type score [judged]int

// judge gives a spot its score. How much the free CPUs of a level lie together is the sum of the squares of how many each
// domain has: a container of n takes 2fn-n² of it where f are free, least in the fullest domain.
func (p *placer) judge(s *spot) *spot {
	var spans, breaks [levels]int
	for level := range levels {
		spent := map[int]int{}
		for i, c := range s.cores {
			spent[c.in[level]] += s.spent[i]
		}
		spans[level] = len(spent)
		for number, n := range spent {
			free := p.open[level][number]
			s.left[level] += free - n
			breaks[level] += free*free - (free-n)*(free-n)
		}
	}
	if p.terms.NUMA == NUMAAny {
		spans[levelNode] = 0
	}
	slow := 0
	for _, c := range s.cores {
		slow += max(c.in[levelKind], 0)
	}
	s.score = score{
		byNodes: spans[levelNode], byDistance: p.far(s), bySpeed: slow, byDies: spans[levelDie], byCaches: spans[levelCache],
		byClusters: spans[levelCluster], byCores: spans[levelCore], breaksNode: breaks[levelNode], breaksDie: breaks[levelDie],
		breaksCache: breaks[levelCache], breaksCluster: breaks[levelCluster], breaksCore: breaks[levelCore], byNumber: s.cpus[0],
	}
	return s
}

// far is 0 for a spot on one node, or wholly on those that it shall be near.
func (p *placer) far(s *spot) int {
	sum := 0
	var passed []int
	for _, c := range s.cores {
		node := p.node(c)
		switch {
		case !p.near.IsEmpty():
			nearest := p.topo.distance(node, p.near.List()[0])
			for _, to := range p.near.List() {
				nearest = min(nearest, p.topo.distance(node, to))
			}
			sum += nearest - local
		case p.terms.NUMA != NUMAAny && !slices.Contains(passed, node):
			for _, other := range passed {
				sum += p.topo.distance(other, node) - local
			}
			passed = append(passed, node)
		}
	}
	return sum
}

// best gives the spot with the best score, and remembers which it was compared with.
func best(spots []*spot, level int) *spot {
	if len(spots) == 0 {
		return nil
	}
	slices.SortStableFunc(spots, func(a, b *spot) int { return slices.Compare(a.score[:], b.score[:]) })
	spots = slices.CompactFunc(spots, func(a, b *spot) bool { return slices.Equal(a.cpus, b.cpus) }) // found in two ways
	winner := spots[0]
	if len(spots) > 1 {
		winner.won = append([]contest{{level, spots}}, winner.won...)
	}
	return winner
}
