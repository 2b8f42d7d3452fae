package rig

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// dirName begins the name of every rig's directory. It is not in t.TempDir, whose long names do not fit into a socket's
// path.
const dirName = "rtshield-runc-"

// once is for removeLeft: a rig that this process has made itself is no leftover.
var once sync.Once

// removeLeft takes away what a run left that was cut, before anybody takes it for the host's own: its containers, its
// settings (a reconcile with each of its policies gives them back), its cgroups. The lock says that no such run is alive.
func removeLeft(t testing.TB) {
	t.Helper()
	if err := testhost.Alone(); err != nil {
		t.Fatal(err)
	}
	once.Do(func() {
		r := &Rig{TB: t, Rtshield: testhost.Rtshield(t), Dir: t.TempDir()}
		for _, mount := range hierarchies() {
			_ = filepath.WalkDir(filepath.Join(mount, top), func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					t.Logf("a run before this one was cut: %s", path)
					killAll(strings.TrimPrefix(path, mount))
				}
				return nil
			})
		}
		dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirName+"*"))
		for _, dir := range dirs {
			t.Logf("a run before this one was cut: %s", dir)
			policies, _ := filepath.Glob(dir + "/*.toml")
			for _, policy := range policies {
				r.Env = []string{testhost.PolicyFile{Path: policy}.Env()}
				r.Must(r.Shield("reconcile"))
			}
			r.removeDir(dir)
		}
		r.Eventual(removeCgroups)
	})
}

// removeDir removes a rig's directory, and the links below /run that its policies' runs have made.
func (r *Rig) removeDir(dir string) {
	r.Helper()
	policies, _ := filepath.Glob(dir + "/*.toml")
	for _, policy := range policies {
		// The pointer, the marks, and what killed processes left of them.
		links, _ := filepath.Glob(strings.Replace(Pointer(policy), "delegate-", "*-", 1) + "*")
		for _, link := range links {
			_ = os.Remove(link)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		r.Error(err)
	}
}
