package host

import "testing"

func TestAKernelIsAtLeastItsOwnRelease(t *testing.T) {
	for release, want := range map[string]bool{
		"6.12.48+deb13-rt-amd64": true, "6.12-rc1": true, "6.18.44": true, "7.2.0": true, "6.1.0-40-rt": false, "5.15": false, "": false, "x": false,
	} {
		root := tree(t, map[string]string{"proc/sys/kernel/osrelease": release + "\n"})
		if got := root.AtLeast(6, 12); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
