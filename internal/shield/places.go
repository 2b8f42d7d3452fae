package shield

import (
	"fmt"
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

var reasons = [judged]string{
	byNodes: "fewest nodes", byDistance: "nearest", bySpeed: "fewest slower cores", byDies: "fewest dies", byCaches: "fewest L3 domains",
	byClusters: "fewest clusters", byCores: "fewest cores", leftOnNode: "fewest free CPUs left on the node", leftOnDie: "fewest free CPUs left on the die",
	leftInCache: "fewest free CPUs left in the L3 domain", leftInCluster: "fewest free CPUs left in the cluster",
	leftOnCore: "fewest free CPUs left on the core", byNumber: "lowest number",
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
			places.Candidates = append(places.Candidates, Candidate{s.where(topo, c.level), CPUsOf(cpuset.New(s.cpus...)), s.score[by]})
		}
		all = append(all, places)
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

// String is one line: "node 1, fewest free CPUs left on the node (1: 2; 0: 6)".
func (p Places) String() string {
	const most = 6
	var parts []string
	for i, candidate := range p.Candidates {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(p.Candidates)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s: %d", candidate.Where, candidate.Value))
	}
	return fmt.Sprintf("%s %s, %s (%s)", p.Level, p.Candidates[0].Where, p.Why, strings.Join(parts, "; "))
}
