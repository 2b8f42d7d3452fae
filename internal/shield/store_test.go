package shield

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openStore(t *testing.T, s Store) *Session {
	t.Helper()
	session, err := s.Open("test")
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestLedgerIsAFileOnlyWhileItSaysSomething(t *testing.T) {
	store := Store{Dir: filepath.Join(t.TempDir(), "state"), BootID: "boot-1"}
	if store.Exists() {
		t.Fatal("exists before anything was opened")
	}
	session := openStore(t, store)
	session.Add(Grant{Key: Key{"/run/runc", "web"}, Name: "web", CPUs: cpus(t, "2-3"), Policy: FIFO, Priority: 50})
	if err := session.Save(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	info, err := os.Stat(filepath.Join(store.Dir, "ledger.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	session = openStore(t, store)
	grant := session.Grant(Key{"/run/runc", "web"})
	if grant == nil || grant.CPUs.String() != "2-3" || grant.PolicyText() != "fifo 50" {
		t.Fatalf("read back %+v", grant)
	}
	if session.Grant(Key{"/run/other", "web"}) != nil {
		t.Error("an id counts under every root")
	}
	session.Release(grant.Key)
	if err := session.Save(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	if store.Exists() {
		t.Error("an empty ledger is still a file")
	}
}

func TestLedgerOfAnotherBootIsForgotten(t *testing.T) {
	dir := t.TempDir()
	old := openStore(t, Store{Dir: dir, BootID: "boot-1"})
	old.Add(Grant{Key: Key{"/r", "a"}})
	if err := old.Save(); err != nil {
		t.Fatal(err)
	}
	old.Close()
	session := openStore(t, Store{Dir: dir, BootID: "boot-2"})
	defer session.Close()
	if len(session.Grants) != 0 {
		t.Error("a grant outlived its kernel")
	}
	if err := session.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ledger.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is still there")
	}
}

func TestLedgerThatCannotBeReadIsNotOverwritten(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":1,"bootID":"b","gra`:                     "cannot be read",
		`{"version":7,"bootID":"b","grants":[]}`:             "has version 7, this rtshield knows 1",
		`{"version":1,"bootID":"b","grants":[{"cpus":"x"}]}`: "is not a list of CPUs",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ledger.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (Store{Dir: dir, BootID: "b"}).Open("test"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%s was changed to %s", text, after)
		}
	}
}

func TestLockIsWaitedForAndSaysWhoHoldsIt(t *testing.T) {
	store := Store{Dir: t.TempDir(), BootID: "b", Wait: 50 * time.Millisecond}
	first := openStore(t, store)
	if _, err := store.Open("second"); err == nil || !strings.Contains(err.Error(), "is held for more than 50ms by pid") || !strings.Contains(err.Error(), "(test)") {
		t.Errorf("%v", err)
	}
	store.Wait = 10 * time.Second
	time.AfterFunc(30*time.Millisecond, first.Close)
	second, err := store.Open("second")
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestStateDirectoryOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Store{Dir: dir}).Peek(); err == nil || !strings.Contains(err.Error(), "could be written by others") {
		t.Errorf("without the lock: %v", err)
	}
	if _, err := (Store{Dir: dir}).Open("test"); err == nil || !strings.Contains(err.Error(), "could be written by others") {
		t.Errorf("%v", err)
	}
}

func TestKilledWhileSavingLeavesTheOldLedger(t *testing.T) {
	store := Store{Dir: t.TempDir(), BootID: "b"}
	session := openStore(t, store)
	session.Add(Grant{Key: Key{"/r", "a"}, Name: "a"})
	if err := session.Save(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	if err := os.WriteFile(filepath.Join(store.Dir, "ledger.json.new"), []byte(`{"vers`), 0o600); err != nil {
		t.Fatal(err)
	}
	session = openStore(t, store)
	defer session.Close()
	if session.Grant(Key{"/r", "a"}) == nil {
		t.Error("the grant is gone")
	}
}
