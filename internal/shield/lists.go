package shield

import "k8s.io/utils/cpuset"

// Lists reads CPU lists, each text once: of thousands of interrupts most have the same few.
type Lists map[string]cpuset.CPUSet

// Set gives the CPUs of a list as the kernel prints it. One that cannot be read has none.
func (l Lists) Set(text string) cpuset.CPUSet {
	set, known := l[text]
	if !known {
		set, _ = cpuset.Parse(text)
		l[text] = set
	}
	return set
}

// Reaching gives a function that says whether a list has any of these CPUs.
func Reaching(cpus cpuset.CPUSet) func(text string) bool {
	lists, known := Lists{}, map[string]bool{}
	return func(text string) bool {
		reaches, seen := known[text]
		if !seen {
			reaches = !lists.Set(text).Intersection(cpus).IsEmpty()
			known[text] = reaches
		}
		return reaches
	}
}

// lesser computes what is left of a mask, each text once.
type lesser struct {
	lists                 Lists
	taken, refuge, online cpuset.CPUSet
	known                 map[string]string
}

func newLesser(lists Lists, taken, refuge, online cpuset.CPUSet) lesser {
	return lesser{lists, taken, refuge.Difference(taken), online, map[string]string{}}
}

func (l lesser) of(baseline string) string {
	want, known := l.known[baseline]
	if !known {
		want = baseline
		if set := l.lists.Set(baseline); !set.Intersection(l.taken).IsEmpty() {
			want = lessTaken(set, l.taken, l.refuge, l.online).String()
		}
		l.known[baseline] = want
	}
	return want
}
