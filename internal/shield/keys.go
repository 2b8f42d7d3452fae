package shield

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/xrash/smetrics"
)

// Domain is the annotation domain: rtshield.io/<key> for a pod or container, <key>.rtshield.io/<container> for one
// container of a pod.
const Domain = "rtshield.io"

// The annotation keys that this version carries out.
const (
	KeyClass     = "class"
	KeyCPUs      = "cpus"
	KeyCPUSet    = "cpuset"
	KeyPolicy    = "policy"
	KeyPriority  = "priority"
	KeyDeadline  = "deadline"
	KeySMT       = "smt"
	KeyIRQ       = "irq"
	KeyPartition = "partition"
	KeyIRQClaim  = "irq-claim"
	KeyCStates   = "cstates"
	KeyGovernor  = "governor"
	KeyNUMA      = "numa"
	KeyNear      = "near"
	// KeyRealtimeMask and KeyThreads: part real-time, part ordinary.
	KeyRealtimeMask = "realtime-mask"
	KeyThreads      = "threads"

	KeyCPUBandwidth = "cpu-bandwidth"
	KeyCPUPeriod    = "cpu-period"
	KeyCPUBurst     = "cpu-burst"
	KeyRTBandwidth  = "rt-bandwidth"
	KeyHugePages    = "hugepages"
)

var allKeys = []string{
	KeyClass, KeyCPUs, KeyCPUSet, KeyPolicy, KeyPriority, KeyDeadline, KeySMT, KeyIRQ, KeyPartition, KeyIRQClaim, KeyCStates,
	KeyGovernor, KeyNUMA, KeyNear, KeyRealtimeMask, KeyThreads, KeyRTBandwidth, KeyCPUBandwidth, KeyCPUPeriod, KeyCPUBurst, KeyHugePages,
}

// Keys lists the keys of the annotations.
func Keys() []string { return slices.Clone(allKeys) }

// Words lists what the annotation of a key may say, and an option of the same name, where that is one of a few words. Nil: it is
// something else.
func Words(key string) []string {
	switch key {
	case KeySMT:
		return []string{SMTPrefer, SMTRequire, SMTIsolate}
	case KeyNUMA:
		return []string{NUMASingle, NUMAPrefer, NUMAAny}
	case KeyIRQ:
		return []string{"away", Keep}
	case KeyPartition:
		return []string{"auto", Isolated, Root, "none"}
	}
	return nil
}

// Choices holds what one container's annotations ask for, by key.
type Choices map[string]Choice

// ordinary are those that an ordinary container may have.
func (c Choices) ordinary() Choices {
	kept := Choices{}
	for _, key := range bandwidthKeys {
		if choice, ok := c[key]; ok {
			kept[key] = choice
		}
	}
	return kept
}

// Choice is one value with the annotation it came from.
type Choice struct{ Value, Source string }

// ReadChoices picks the annotations of our domain that speak to container (a pod's container name; empty where the
// engine has none). The one that names the container wins over the pod's. Where a class names other containers of the pod, and
// neither the pod nor this one, the pod's choices are for those: elsewhere is true then. An unknown key is an error, also when
// it speaks to another container: a typo must not turn a real-time container into an ordinary one.
func ReadChoices(annotations map[string]string, container string) (choices Choices, elsewhere bool, err error) {
	choices = Choices{}
	named := Choices{}
	// In order, so that of several wrong keys always the same one is reported.
	for _, annotation := range sortedKeys(annotations) {
		key, whose, ours := splitAnnotation(annotation)
		if !ours {
			continue
		}
		if err := checkKey(annotation, key); err != nil {
			return nil, false, err
		}
		choice := Choice{Value: strings.TrimSpace(annotations[annotation]), Source: annotation}
		switch {
		case whose == "":
			choices[key] = choice
		case whose == container:
			named[key] = choice
		case key == KeyClass && container != "":
			elsewhere = true
		}
	}
	_, pods := choices[KeyClass]
	_, own := named[KeyClass]
	if elsewhere = elsewhere && !pods && !own; elsewhere {
		choices = choices.ordinary()
	}
	for key, choice := range named {
		choices[key] = choice
	}
	return choices, elsewhere, nil
}

func sortedKeys(annotations map[string]string) []string {
	keys := make([]string, 0, len(annotations))
	for key := range annotations {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func splitAnnotation(annotation string) (key, container string, ours bool) {
	domain, rest, found := strings.Cut(annotation, "/")
	if !found {
		return "", "", false
	}
	if domain == Domain {
		return rest, "", true
	}
	if key, found := strings.CutSuffix(domain, "."+Domain); found {
		return key, rest, true
	}
	return "", "", false
}

func checkKey(annotation, key string) error {
	if slices.Contains(allKeys, key) {
		return nil
	}
	return fmt.Errorf("annotation %s: no such key: did you mean %s/%s? (known: %s)",
		annotation, Domain, nearest(key, allKeys), strings.Join(allKeys, ", "))
}

// nearest gives the word most like typed.
func nearest(typed string, words []string) string {
	best, bestScore := words[0], -1.0
	for _, word := range words {
		if score := smetrics.JaroWinkler(typed, word, 0.7, 4); score > bestScore {
			best, bestScore = word, score
		}
	}
	return best
}
