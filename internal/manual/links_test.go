package manual

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	aLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	aHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unusual  = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// anchors are the names that GitHub gives the headings of a page.
func anchors(page string) (names []string) {
	for _, match := range aHeading.FindAllStringSubmatch(page, -1) {
		names = append(names, strings.ReplaceAll(unusual.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return names
}

func TestLinksBetweenTheDocumentsLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, path := range append(pages, "../../README.md", "../../ARCHITECTURE.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range aLink.FindAllStringSubmatch(string(text), -1) {
			file, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(file, ":") {
				continue // elsewhere on the net
			}
			followed++
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			there, err := os.Stat(target)
			switch {
			case err != nil:
				t.Errorf("%s: %s leads nowhere", path, match[1])
			case anchor != "" && !there.IsDir():
				page, err := os.ReadFile(target)
				if err != nil || !slices.Contains(anchors(string(page)), anchor) {
					t.Errorf("%s: %s has no such heading: %v", path, match[1], err)
				}
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links were followed", followed)
	}
}

// A drawing is looked at on light and dark pages, and by people who cannot see it.
func TestDrawingsHaveTheirOwnGroundAndAreDescribed(t *testing.T) {
	concepts, err := os.ReadFile("../../docs/concepts.md")
	if err != nil {
		t.Fatal(err)
	}
	drawings := regexp.MustCompile(`!\[([^\]]*)\]\(([^)]+\.svg)\)`).FindAllStringSubmatch(string(concepts), -1)
	if len(drawings) != 2 {
		t.Errorf("docs/concepts.md shows %d drawings", len(drawings))
	}
	ground := regexp.MustCompile(`<rect x="0.5" y="0.5" width="\d+" height="\d+" rx="8" fill="#ffffff"`)
	for _, drawing := range drawings {
		words, path := drawing[1], "../../docs/"+drawing[2]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(text)))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", path, err)
		}
		if !ground.Match(text) || !strings.Contains(string(text), "<desc ") || len(words) < 100 {
			t.Errorf("%s has no ground of its own, or no words for who cannot see it", path)
		}
	}
}
