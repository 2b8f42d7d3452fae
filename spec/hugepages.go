package spec

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// Hugetlb is what a container gets of huge pages of one size.
type Hugetlb struct {
	// Size is as the annotation has it, 2Mi. Bytes is how much of them all.
	Size  string
	Bytes uint64
	// Limit is the size as linux.resources.hugepageLimits has it, 2MB. Empty: no limit is set.
	Limit string
	// Mount: a hugetlbfs is mounted on HugetlbfsDir(Size).
	Mount bool
}

// HugetlbfsDir is where a container finds the hugetlbfs of a size that config.json did not mount.
func HugetlbfsDir(size string) string { return "/dev/hugepages-" + size }

// Mount is what we need of one of config.json's mounts.
type Mount struct {
	Type, Source string
	// PageSize is the option of that name.
	PageSize string
}

// Mounts lists those of config.json.
func (d *Document) Mounts() []Mount {
	var mounts []Mount
	for _, mount := range gjson.GetBytes(d.data, "mounts").Array() {
		one := Mount{Type: mount.Get("type").String(), Source: mount.Get("source").String()}
		for _, option := range mount.Get("options").Array() {
			if size, found := strings.CutPrefix(option.String(), "pagesize="); found {
				one.PageSize = size
			}
		}
		mounts = append(mounts, one)
	}
	return mounts
}

// WhyNoHugetlbfs says why none can be mounted in the container, "" if one can. On a /dev that is not the container's own the
// directory for it would stay behind.
func (d *Document) WhyNoHugetlbfs() string {
	for _, namespace := range gjson.GetBytes(d.data, "linux.namespaces").Array() {
		if namespace.Get("type").String() == "user" {
			return "the kernel allows that in no user namespace"
		}
	}
	own := false
	for _, mount := range gjson.GetBytes(d.data, "mounts").Array() {
		if mount.Get("destination").String() == "/dev" {
			own = mount.Get("type").String() == "tmpfs"
		}
	}
	if !own {
		return "its /dev is not a tmpfs of its own"
	}
	return ""
}

// GiveHugePages sets limits and mounts.
func (d *Document) GiveHugePages(list []Hugetlb) error {
	var steps []func() error
	for _, pages := range list {
		if pages.Limit != "" {
			steps = append(steps, func() error { return d.hugepageLimit(pages) })
		}
		if pages.Mount {
			steps = append(steps, func() error { return d.add("mounts", hugetlbfs(pages)) })
		}
	}
	return run(steps)
}

func (d *Document) hugepageLimit(pages Hugetlb) error {
	limit := struct {
		PageSize string `json:"pageSize"`
		Limit    uint64 `json:"limit"`
	}{pages.Limit, pages.Bytes}
	found := false
	for i, existing := range gjson.GetBytes(d.data, "linux.resources.hugepageLimits").Array() {
		if existing.Get("pageSize").String() != limit.PageSize {
			continue
		}
		found = true // all of them: runc takes the last
		if err := d.set(fmt.Sprintf("linux.resources.hugepageLimits.%d", i), limit); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	return d.add("linux.resources.hugepageLimits", limit)
}

// hugetlbfs is open to all of the container, as /dev/shm is, and no larger than what it was promised.
func hugetlbfs(pages Hugetlb) any {
	return struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options"`
	}{HugetlbfsDir(pages.Size), "hugetlbfs", "hugetlbfs", []string{
		"nosuid", "nodev", "mode=1777", "pagesize=" + strings.TrimSuffix(pages.Size, "i"), fmt.Sprintf("size=%d", pages.Bytes),
	}}
}
