package testhost

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each cell of docs/life.md names a test of the engine of its column.
func TestTheTestsThatTheDocumentNamesExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/life.md")
	if err != nil {
		t.Fatal(err)
	}
	var engines []string
	rows := 0
	cell := regexp.MustCompile(`^(Test\w+)(?: \((VM|crash)\))?$`)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		switch {
		case len(cells) < 5:
			continue
		case engines == nil:
			engines = cells[2:]
			continue
		}
		rows++
		named := false
		for i, text := range cells[2:] {
			if text = strings.TrimSpace(text); text == "-" {
				continue
			}
			match := cell.FindStringSubmatch(text)
			if match == nil {
				t.Errorf("%q is neither a test nor a dash: %s", text, line)
				continue
			}
			folder := map[string]string{"VM": "vm/guest", "crash": "crash"}[match[2]]
			if folder == "" {
				folder = []string{"runc", "docker", "cri"}[i]
			}
			named = true
			if !declared(t, folder, match[1]) {
				t.Errorf("integration/%s has no %s", folder, match[1])
			}
		}
		if !named {
			t.Errorf("no test: %s", line)
		}
	}
	if len(engines) != 3 || rows < 20 {
		t.Errorf("read %d rows of %q", rows, engines)
	}
}

func declared(t *testing.T, folder, name string) bool {
	t.Helper()
	files, _ := filepath.Glob("../" + folder + "/*_test.go")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// And those of docs/kubernetes.md, of a real kubelet or of a node with systemd.
func TestTheTestsThatKubernetesIsSaidToHaveExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text), -1)
	if len(names) < 10 {
		t.Errorf("%d tests are named", len(names))
	}
	for _, name := range names {
		if !declared(t, "kubernetes", name) && !declared(t, "vm/systemd", name) {
			t.Errorf("neither integration/kubernetes nor integration/vm/systemd has %s", name)
		}
	}
}
