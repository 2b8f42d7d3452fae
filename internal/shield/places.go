package shield

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/utils/cpuset"
)

// Places is one comparison of the places that a grant could have had, at one level.
type Places struct {
	// Level is node, die, L3 domain or cluster.
	Level string `json:"level"`
	// Why is what decided.
	Why string `json:"why"`
	// Candidates begin with the one that won.
	Candidates []Candidate `json:"candidates"`
}

// Candidate is one place.
type Candidate struct {
	// Where is the node's number, or the domain's CPUs; several where none alone has enough.
	Where string `json:"where"`
	CPUs  CPUs   `json:"cpus"`
	// Value is what it has of what decided.
	Value int `json:"value"`
}

var levelNames = [levels]string{levelNode: "node", levelDie: "die", levelCache: "L3 domain", levelCluster: "cluster"}

const firstOfEquals = "first of equals"

var reasons = [judged]string{
	byNodes: "fewest nodes", byDistance: "nearest", bySpeed: "fewest slower cores", byDies: "fewest dies", byCaches: "fewest L3 domains",
	byClusters: "fewest clusters", byCores: "fewest cores", breaksNode: "fewest CPUs left free on the node",
	breaksDie: "fewest CPUs left free on the die", breaksCache: "fewest CPUs left free in the L3 domain",
	breaksCluster: "fewest CPUs left free in the cluster", breaksCore: "fewest CPUs left free on the core", byNumber: firstOfEquals,
}

// value is what a reason is about.
func (s *spot) value(by int) int {
	if level, counts := map[int]int{
		breaksNode: levelNode, breaksDie: levelDie, breaksCache: levelCache, breaksCluster: levelCluster, breaksCore: levelCore,
	}[by]; counts {
		return s.left[level]
	}
	return s.score[by]
}

// Places tells how the CPUs of a grant were chosen. Only a grant that Decide has just made knows.
func (g Grant) Places(topo Topology) []Places {
	var all []Places
	for _, c := range g.won {
		if levelNames[c.level] == "" {
			continue // which core of a cluster is of no interest
		}
		by := c.decided()
		places := Places{Level: levelNames[c.level], Why: reasons[by]}
		for _, s := range c.spots {
			where := s.where(topo, c.level)
			if !slices.ContainsFunc(places.Candidates, func(better Candidate) bool { return better.Where == where }) {
				places.Candidates = append(places.Candidates, Candidate{where, CPUsOf(cpuset.New(s.cpus...)), s.value(by)})
			}
		}
		if len(places.Candidates) > 1 {
			all = append(all, places)
		}
	}
	return all
}

// decided gives the first criterion by which the winner is better than the second.
func (c contest) decided() int {
	for by := range judged {
		if c.spots[0].score[by] != c.spots[1].score[by] {
			return by
		}
	}
	return byNumber
}

func (s *spot) where(topo Topology, level int) string {
	cpus := cpuset.New(s.cpus...)
	if level == levelNode {
		return topo.NodesOf(cpus).String()
	}
	var members []int
	for _, domain := range [levels][]cpuset.CPUSet{levelDie: topo.Dies, levelCache: topo.Caches, levelCluster: topo.Clusters}[level] {
		if meets(domain, cpus) {
			members = append(members, domain.UnsortedList()...)
		}
	}
	return cpuset.New(members...).String()
}

// String is one line: "node 1, fewest CPUs left free on the node (1: 2; 0: 6)".
func (p Places) String() string {
	const most = 6
	var parts []string
	for i, candidate := range p.Candidates {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(p.Candidates)-most))
			break
		}
		part := candidate.Where
		if p.Why != firstOfEquals {
			part += fmt.Sprintf(": %d", candidate.Value)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%s %s, %s (%s)", p.Level, p.Candidates[0].Where, p.Why, strings.Join(parts, "; "))
}
