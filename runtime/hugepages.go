package runtime

import (
	"fmt"
	"os"
	"slices"

	"github.com/rtshield/rtshield/internal/host/hugepages"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/spec"
)

// surveyPages reads the pools of huge pages for a container that asks for some. Under the lock: what somebody else was promised
// is in the ledger, and what has been given back is in the pools.
func (m *matter) surveyPages(ledger *shield.Ledger) (err error) {
	_, asked := m.request.Choices[shield.KeyHugePages]
	limited := slices.ContainsFunc(m.request.HugePages, func(limit shield.HugePages) bool { return limit.Bytes > 0 }) // the kubelet names all sizes
	if asked || limited {
		m.facts.HugePages, _, err = reconcile.HugePages(system, ledger)
	}
	return err
}

// hugetlb says what config.json has to say of huge pages that an annotation asks for: a limit, and a mount where there is none.
// What an engine gives it limits and mounts itself.
func (m *matter) hugetlb(grant *shield.Grant) ([]spec.Hugetlb, error) {
	choice, asked := m.request.Choices[shield.KeyHugePages]
	if !asked {
		return nil, nil
	}
	limit := func(what, why, help string) {
		grant.Limits = append(grant.Limits, shield.Limit{What: what, Why: why, Help: help})
	}
	_, limited, err := hugepages.Controller(system, os.Getpid())
	if err != nil {
		return nil, err
	}
	if !limited {
		limit("huge pages: the container may take more than it was promised", "this host has no hugetlb cgroup controller", "mount it, or boot with cgroup v2")
	}
	whyNot := m.document.WhyNoHugetlbfs()
	wanted, err := shield.ParsePages(choice.Value)
	if err != nil {
		return nil, err
	}
	var give []spec.Hugetlb
	for _, pages := range wanted {
		name := shield.PageSize(pages.Size)
		one := spec.Hugetlb{Size: name, Bytes: pages.Size * uint64(pages.Count)}
		if limited {
			one.Limit = hugepages.Name(pages.Size)
		}
		switch mounted := m.mountsHugetlbfs(pages.Size); {
		case mounted:
		case whyNot != "":
			limit(fmt.Sprintf("huge pages: no hugetlbfs of %s is mounted in the container", name), whyNot, "map them without one (MAP_HUGETLB), or let the engine mount it")
		default:
			one.Mount = true
		}
		give = append(give, one)
	}
	return give, nil
}

// mountsHugetlbfs says whether config.json mounts one with pages of this size, of its own or of the host's.
func (m *matter) mountsHugetlbfs(size uint64) bool {
	for _, mount := range m.document.Mounts() {
		switch {
		case mount.Type == "hugetlbfs" && mount.PageSize == "":
			if hugepages.Default(system) == size {
				return true
			}
		case mount.Type == "hugetlbfs":
			if pages, err := shield.ParsePages(mount.PageSize + "=1"); err == nil && pages[0].Size == size {
				return true
			}
		case hugepages.Mounted(system, mount.Source) == size:
			return true
		}
	}
	return false
}
