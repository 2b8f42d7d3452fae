package spec

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/internal/shield"
)

func documentOf(text string) *Document {
	data := []byte(text)
	return &Document{Path: "config.json", disk: data, user: data, data: data}
}

func TestHugePagesAreLimitedAndMountedAndAllOfItIsTakenBack(t *testing.T) {
	for _, before := range []string{
		`{"linux":{"resources":{}}}`,
		`{"mounts":[{"destination":"/x","type":"tmpfs"}],"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":9223372036854771712},{"pageSize":"1GB","limit":0}]}}}`,
	} {
		document := documentOf(before)
		if err := document.GiveHugePages([]Hugetlb{{Size: "2Mi", Bytes: 8 << 20, Limit: "2MB", Mount: true}, {Size: "64Ki", Bytes: 1 << 20}}); err != nil {
			t.Fatal(err)
		}
		var got specs.Spec
		if err := json.Unmarshal(document.data, &got); err != nil {
			t.Fatal(err)
		}
		if limits := got.Linux.Resources.HugepageLimits; len(limits) == 0 || limits[0] != (specs.LinuxHugepageLimit{Pagesize: "2MB", Limit: 8 << 20}) {
			t.Errorf("limits %+v", limits)
		}
		want := specs.Mount{
			Destination: "/dev/hugepages-2Mi", Type: "hugetlbfs", Source: "hugetlbfs",
			Options: []string{"nosuid", "nodev", "mode=1777", "pagesize=2M", "size=8388608"},
		}
		if last := got.Mounts[len(got.Mounts)-1]; !reflect.DeepEqual(last, want) {
			t.Errorf("mounted %+v, want %+v", last, want)
		}
		checkTakenBack(t, []byte(before), document)
	}
}

func TestAHugetlbfsIsMountedOnlyOnADevOfTheContainersOwn(t *testing.T) {
	for text, want := range map[string]string{
		`{"mounts":[{"destination":"/dev","type":"tmpfs"}]}`:                "",
		`{"mounts":[{"destination":"/dev","type":"bind","source":"/dev"}]}`: "its /dev is not a tmpfs of its own",
		`{"mounts":[]}`: "its /dev is not a tmpfs of its own",
		`{"mounts":[{"destination":"/dev","type":"tmpfs"}],"linux":{"namespaces":[{"type":"pid"},{"type":"user"}]}}`: "the kernel allows that in no user namespace",
	} {
		if got := documentOf(text).WhyNoHugetlbfs(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	mounts := documentOf(`{"mounts":[{"destination":"/h","type":"hugetlbfs","source":"none","options":["rw","pagesize=1G"]},{"destination":"/b","type":"bind","source":"/dev/hugepages"}]}`).Mounts()
	if want := []Mount{{"hugetlbfs", "none", "1G"}, {"bind", "/dev/hugepages", ""}}; !reflect.DeepEqual(mounts, want) {
		t.Errorf("mounts %+v, want %+v", mounts, want)
	}
}

func TestOfSeveralLimitsOnHugePagesTheLastCounts(t *testing.T) {
	document := documentOf(`{"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":4194304},{"pageSize":"1GB","limit":0},{"pageSize":"2MB","limit":2097152},{"pageSize":"64KB","limit":9223372036854771712}]}}}`)
	request, err := document.Request(shield.Key{ID: "x"}, "")
	if want := []shield.HugePages{{Size: "1GB", PageSize: 1 << 30}, {Size: "2MB", PageSize: 2 << 20, Bytes: 2 << 20}}; err != nil || !reflect.DeepEqual(request.HugePages, want) {
		t.Errorf("%+v, %v; want %+v", request.HugePages, err, want)
	}
}
