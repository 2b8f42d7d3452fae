package shield

import (
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/utils/cpuset"
)

// firstFit is what rtshield is compared with: at each level the first domain that has enough, and where none has, the
// first ones.
func (p *placer) firstFit(cores []core, level, n int) *spot {
	if p.capacity(cores, n) < n {
		return nil
	}
	if level == levels {
		return p.judge(p.take(cores, n))
	}
	groups := split(cores, level)
	if level != levelKind {
		for _, group := range groups {
			if found := p.firstFit(group, level+1, n); found != nil {
				return found
			}
		}
	}
	if level == levelNode && p.terms.NUMA == NUMASingle {
		return nil
	}
	whole := &spot{}
	for _, group := range groups {
		if size := p.capacity(group, n-len(whole.cpus)); size > 0 {
			if part := p.firstFit(group, level+1, size); part != nil {
				whole.add(part)
			}
		}
	}
	if len(whole.cpus) < n {
		return nil
	}
	return p.judge(whole)
}

// The measure of docs/placement.md, the most important first; less is better. The last two say how little the free CPUs that
// are left lie together.
var measure = []string{"refused", "nodes", "distance", "slower cores", "dies", "L3 domains", "clusters", "cores", "broken nodes", "broken L3 domains"}

func (p *placer) measured(s *spot) []int {
	if s == nil {
		return []int{1}
	}
	return append([]int{0}, s.score[byNodes], s.score[byDistance], s.score[bySpeed], s.score[byDies], s.score[byCaches], s.score[byClusters],
		s.score[byCores], s.score[breaksNode], s.score[breaksCache])
}

// Both choose from the same state, again and again while containers come and go.
func TestBestFitIsNeverWorseThanFirstFit(t *testing.T) {
	const sequences, steps = 2000, 8 // on each machine
	for _, name := range []string{"epyc-quadrants", "xeon-sub-numa", "desktop-hybrid", "laptop-low-power-island", "isolated-at-boot"} {
		t.Run(name, func(t *testing.T) {
			topo, layout := read(t, name)
			better, gain, decisions := make([]int, len(measure)), make([]int, len(measure)), 0
			for seed := range uint64(sequences) {
				game := newGame(topo, layout, seed)
				for range steps {
					terms := game.wish()
					p := newPlacer(topo, terms, cpuset.New(), layout.Pool.Difference(game.held))
					best, first := p.choose(), p.firstFit(p.cores, levelNode, terms.Count)
					mine, its := p.measured(best), p.measured(first)
					decisions++
					for by := range min(len(mine), len(its)) {
						if mine[by] > its[by] {
							t.Fatalf("seed %d: %d CPUs, smt %s, numa %s, while CPU %s is held: CPU %v, first fit takes %v: more %s: %d, first fit %d",
								seed, terms.Count, terms.SMT, terms.NUMA, game.held, best.cpus, first.cpus, measure[by], mine[by], its[by])
						}
						if mine[by] < its[by] {
							better[by]++
							gain[by] += its[by] - mine[by]
							break
						}
					}
					game.take(best)
				}
			}
			if slices.Max(better) == 0 {
				t.Error("it is never better either")
			}
			for by, times := range better {
				if times > 0 {
					t.Logf("of %d decisions %d are better by %s, by %.1f on average", decisions, times, measure[by], float64(gain[by])/float64(times))
				}
			}
		})
	}
}

// Each goes its own way with the same containers. One sequence may end better either way, as nobody knows what comes; all
// together show what it is good for.
func TestOverWholeSequencesBestFitKeepsMoreTogether(t *testing.T) {
	const sequences, steps = 300, 30
	topo, layout := read(t, "epyc-quadrants")
	var refused, apart, nodes [2]int
	for seed := range uint64(sequences) {
		for way := range 2 {
			game := newGame(topo, layout, seed)
			for range steps {
				terms := game.wish()
				terms.Count = 1 + terms.Count%3
				p := newPlacer(topo, terms, cpuset.New(), layout.Pool.Difference(game.held))
				choose := p.choose
				if way == 1 {
					choose = func() *spot { return p.firstFit(p.cores, levelNode, terms.Count) }
				}
				found := choose()
				switch {
				case found == nil:
					refused[way]++
				case found.score[byNodes] > 1:
					nodes[way]++
				case found.score[byCaches] > 1:
					apart[way]++
				}
				game.take(found)
			}
		}
	}
	t.Logf("of %d containers, best fit and first fit: over several nodes %v, over several L3 domains %v, refused %v", sequences*steps, nodes, apart, refused)
	if apart[0] >= apart[1] || nodes[0] > nodes[1] {
		t.Errorf("best fit spread %d over L3 domains and %d over nodes, first fit %d and %d", apart[0], nodes[0], apart[1], nodes[1])
	}
}

// game is a sequence of containers that come and go.
type game struct {
	random *rand.Rand
	topo   Topology
	smt    string
	held   cpuset.CPUSet
	live   []cpuset.CPUSet
}

// newGame begins with some cores taken, as they are after a long time.
func newGame(topo Topology, layout Layout, seed uint64) *game {
	g := &game{random: rand.New(rand.NewPCG(seed, 0)), topo: topo}
	g.smt = []string{SMTIsolate, SMTIsolate, SMTRequire, SMTPrefer}[g.random.IntN(4)]
	taken := g.random.IntN(3)
	for _, core := range topo.Cores {
		if core.IsSubsetOf(layout.Pool.CPUSet) && g.random.IntN(4) < taken {
			g.live = append(g.live, core)
			g.held = g.held.Union(core)
		}
	}
	return g
}

// wish lets some go, and gives what the next asks for.
func (g *game) wish() Terms {
	for len(g.live) > 0 && g.random.IntN(3) == 0 {
		i := g.random.IntN(len(g.live))
		g.held = g.held.Difference(g.live[i])
		g.live = slices.Delete(g.live, i, i+1)
	}
	return Terms{Count: 1 + g.random.IntN(6), SMT: g.smt, NUMA: []string{NUMASingle, NUMAPrefer}[g.random.IntN(2)]}
}

func (g *game) take(s *spot) {
	if s == nil {
		return
	}
	cpus := cpuset.New(s.cpus...)
	if g.smt == SMTIsolate {
		cpus = g.topo.Siblings(cpus)
	}
	g.live, g.held = append(g.live, cpus), g.held.Union(cpus)
}
