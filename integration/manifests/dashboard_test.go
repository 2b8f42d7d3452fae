package manifests_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// panel is as much of Grafana's as counts here.
type panel struct {
	ID      int    `json:"id"`
	Title   string `json:"title"`
	Type    string `json:"type"`
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
}

type dashboard struct {
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

var (
	aVariable   = regexp.MustCompile(`\$(\w+)`)
	aLegend     = regexp.MustCompile(`{{(\w+)}}`)
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

func board(t *testing.T) (found dashboard) {
	t.Helper()
	if err := json.Unmarshal(read(t, observe+"dashboard.json"), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// filled puts what Grafana would in place of its variables: all.
func filled(expression string) string {
	return aVariable.ReplaceAllStringFunc(expression, func(name string) string {
		if name == "$__rate_interval" {
			return "5m"
		}
		return ".*"
	})
}

func TestThePanelsOfTheDashboardShowMetricsThatThereAre(t *testing.T) {
	known, data := known(t), newDatabase(t)
	for _, name := range written(t) {
		for at := time.Duration(0); at <= 10*time.Minute; at += 30 * time.Second {
			data.add(name, at, at.Seconds()) // also counters have grown
		}
	}
	shown := map[string]bool{}
	for _, p := range board(t).Panels {
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %q of type %s has %d expressions", p.Title, p.Type, len(p.Targets))
		}
		for _, target := range p.Targets {
			expression := filled(target.Expr)
			out := check(t, expression, known)
			for _, match := range aLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(out, match[1]) {
					t.Errorf("panel %q names its series by %s, which they do not have", p.Title, match[1])
				}
			}
			if len(data.ask(expression, 10*time.Minute)) == 0 {
				t.Errorf("panel %q shows nothing: %s", p.Title, expression)
			}
			for name := range known {
				shown[name] = shown[name] || regexp.MustCompile(`\b`+name+`\b`).MatchString(expression)
			}
		}
	}
	for _, name := range []string{
		"rtshield_cpus", "rtshield_container_info", "rtshield_container_promises", "rtshield_container_limits", "rtshield_interrupts_total",
		"rtshield_softirqs_total", "rtshield_foreign_seconds", "rtshield_foreign_turns", "rtshield_containers", "rtshield_node_ready",
	} {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestTheVariablesOfTheDashboardAreThoseThatItsPanelsUse(t *testing.T) {
	known, board := known(t), board(t)
	defined := map[string]bool{"__rate_interval": true}
	for _, variable := range board.Templating.List {
		defined[variable.Name] = true
		if variable.Name == "datasource" {
			continue
		}
		match := labelValues.FindStringSubmatch(variable.Definition)
		if match == nil {
			t.Errorf("$%s: %q", variable.Name, variable.Definition)
		} else if out := check(t, filled(match[1]), known); !slices.Contains(out, match[2]) {
			t.Errorf("$%s: no label %s", variable.Name, match[2])
		}
	}
	used := map[string]bool{"datasource": strings.Contains(string(read(t, observe+"dashboard.json")), `"uid": "${datasource}"`)}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, match := range aVariable.FindAllStringSubmatch(target.Expr, -1) {
				if used[match[1]] = true; !defined[match[1]] {
					t.Errorf("panel %q: nobody defines $%s", p.Title, match[1])
				}
			}
		}
	}
	for name := range defined {
		if !used[name] {
			t.Errorf("no panel uses $%s", name)
		}
	}
}

func TestPanelsLieBesideEachOther(t *testing.T) {
	panels := board(t).Panels
	for i, p := range panels {
		if at := p.GridPos; at.W < 1 || at.H < 1 || at.X+at.W > 24 {
			t.Errorf("panel %q: %+v", p.Title, at)
		}
		for _, other := range panels[:i] {
			a, b := p.GridPos, other.GridPos
			if p.ID == other.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q: %+v, %+v", p.Title, other.Title, a, b)
			}
		}
	}
}
