package shield

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// chooseClaim reads irq-claim, "eth1-rx-*, nvme0q3". The class says which interrupts its containers may have.
func chooseClaim(terms *Terms, request Request) error {
	choice, ok := request.Choices[KeyIRQClaim]
	if !ok {
		return nil
	}
	for pattern := range strings.SplitSeq(choice.Value, ",") {
		pattern = strings.TrimSpace(pattern)
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("annotation %s = %q: expected names of interrupts or devices, or globs, such as \"eth1-rx-*, nvme0q3\"", choice.Source, choice.Value)
		}
		terms.Claim = append(terms.Claim, pattern)
	}
	if len(terms.Class.IRQClaim) == 0 {
		return fmt.Errorf("annotation %s asks for interrupts %s; class %s allows none: name them in its irq_claim", choice.Source, choice.Value, terms.Class.Name)
	}
	return nil
}

// claims says whether an interrupt with these names is one that the container asked for and may have.
func (g Grant) claims(names []string) bool {
	return matchesAny(g.Claim, names) && matchesAny(g.Claimable, names)
}

func matchesAny(patterns, names []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			fits, err := filepath.Match(pattern, name)
			return err == nil && fits
		})
	})
}

// claimant gives the grant that an interrupt belongs to, nil for none.
func (l *Ledger) claimant(names []string) *Grant {
	for i := range l.Grants {
		if l.Grants[i].claims(names) {
			return &l.Grants[i]
		}
	}
	return nil
}

// checkClaim: each word of a claim must mean an interrupt that is there, that the class allows, and that nobody has.
func checkClaim(grant Grant, host Host, ledger *Ledger) error {
	for _, pattern := range grant.Claim {
		word := grant
		word.Claim = []string{pattern}
		var matched, refused []string
		for _, number := range sortedNumbers(host.Interrupts) {
			names := host.Interrupts[number]
			if !matchesAny(word.Claim, names) {
				continue
			}
			what := fmt.Sprintf("irq %d (%s)", number, strings.Join(names, ", "))
			if !word.claims(names) {
				refused = append(refused, what)
				continue
			}
			matched = append(matched, what)
			if other := ledger.claimant(names); other != nil && other.Key != grant.Key {
				return fmt.Errorf("container %s claims %s, which container %s has: stop that one, or claim another", grant.Name, what, other.Name)
			}
		}
		switch {
		case len(matched) > 0:
		case len(refused) > 0:
			return fmt.Errorf("container %s claims %s; class %s allows only %s: ask for one of these, or widen irq_claim",
				grant.Name, strings.Join(refused, ", "), grant.Class, strings.Join(grant.Claimable, ", "))
		default:
			return fmt.Errorf("container %s claims interrupt %q, and no interrupt or device of this host is called so: see /proc/interrupts", grant.Name, pattern)
		}
	}
	return nil
}

func sortedNumbers(interrupts map[int][]string) []int {
	numbers := make([]int, 0, len(interrupts))
	for number := range interrupts {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	return numbers
}

// claimed gives the numbers of the interrupts that some grant claims.
func claimed(ledger *Ledger, seen Observation) cpuset.CPUSet {
	var numbers []int
	for number, names := range seen.Interrupts {
		if _, there := seen.Masks[Knob{IRQ, strconv.Itoa(number)}]; there && ledger.claimant(names) != nil {
			numbers = append(numbers, number)
		}
	}
	return cpuset.New(numbers...)
}

// claimedBy gives the grant that an interrupt knob belongs to, nil for none.
func claimedBy(ledger *Ledger, seen Observation, knob Knob) *Grant {
	number, err := strconv.Atoi(knob.Name)
	if err != nil || knob.Kind != IRQ || len(seen.Interrupts) == 0 {
		return nil
	}
	return ledger.claimant(seen.Interrupts[number])
}
