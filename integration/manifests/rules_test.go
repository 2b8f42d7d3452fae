package manifests_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
	"sigs.k8s.io/yaml"
)

const observe = deploy + "observe/"

// rules reads a file of rules as Prometheus does.
func rules(t *testing.T, text []byte) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, promQL, silent)
	if len(errs) > 0 {
		t.Fatalf("%v", errs)
	}
	var all []rulefmt.Rule
	for _, group := range groups.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ruleTests is as much of what `promtool test rules` reads as rules_test.yaml has.
type ruleTests struct {
	RuleFiles          []string       `json:"rule_files"`
	EvaluationInterval model.Duration `json:"evaluation_interval"`
	Tests              []struct {
		Name        string         `json:"name"`
		Interval    model.Duration `json:"interval"`
		InputSeries []struct {
			Series string `json:"series"`
			Values string `json:"values"`
		} `json:"input_series"`
		Alerts []struct {
			At   model.Duration `json:"eval_time"`
			Name string         `json:"alertname"`
			Want []alert        `json:"exp_alerts"`
		} `json:"alert_rule_test"`
		Expressions []struct {
			Expression string         `json:"expr"`
			At         model.Duration `json:"eval_time"`
			Want       []struct {
				Labels string  `json:"labels"`
				Value  float64 `json:"value"`
			} `json:"exp_samples"`
		} `json:"promql_expr_test"`
	} `json:"tests"`
}

type alert struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

// evaluation evaluates rules as Prometheus does, one time after the other.
type evaluation struct {
	*database
	rules []rulefmt.Rule
	since map[string]time.Duration // when an alert's series came, by rule and series
	last  map[string]labels.Labels // the series of recording rules that were there last
}

// step evaluates all rules once, and gives the alerts that fire, by their names.
func (e *evaluation) step(at time.Duration) map[string][]alert {
	firing, since, last := map[string][]alert{}, map[string]time.Duration{}, map[string]labels.Labels{}
	for _, rule := range e.rules {
		for _, sample := range e.ask(rule.Expr, at) {
			if rule.Record != "" {
				builder := labels.NewBuilder(sample.Metric)
				name := builder.Set("__name__", rule.Record).Labels()
				e.add(name, at, sample.F)
				last[name.String()] = name
				continue
			}
			key := rule.Alert + sample.Metric.String()
			since[key] = at
			if then, was := e.since[key]; was {
				since[key] = then
			}
			if at-since[key] >= time.Duration(rule.For) {
				firing[rule.Alert] = append(firing[rule.Alert], e.alert(rule, sample, at))
			}
		}
	}
	for key, name := range e.last {
		if _, still := last[key]; !still {
			e.add(name, at, gone)
		}
	}
	e.since, e.last = since, last
	return firing
}

func (e *evaluation) alert(rule rulefmt.Rule, sample promql.Sample, at time.Duration) alert {
	made := alert{sample.Metric.Map(), map[string]string{}}
	delete(made.Labels, "__name__")
	data := template.AlertTemplateData(made.Labels, nil, "", sample)
	for name, text := range rule.Annotations {
		text = "{{$labels := .Labels}}{{$value := .Value}}" + text
		expander := template.NewTemplateExpander(context.Background(), text, name, data, model.Time(at.Milliseconds()), nil, &url.URL{}, nil)
		expanded, err := expander.Expand()
		if err != nil {
			e.t.Fatalf("%s: %v", rule.Alert, err)
		}
		made.Annotations[name] = expanded
	}
	maps.Copy(made.Labels, rule.Labels)
	return made
}

// load puts series into the database as promtool's notation has them.
func (d *database) load(series, values string, interval time.Duration) {
	d.t.Helper()
	name, samples, err := promQL.ParseSeriesDesc(series + " " + values)
	if err != nil {
		d.t.Fatal(err)
	}
	for i, sample := range samples {
		if !sample.Omitted {
			d.add(name, time.Duration(i)*interval, sample.Value)
		}
	}
}

func TestAlertsFireWhenTheyShouldAndSayWhatToDo(t *testing.T) {
	var tests ruleTests
	if err := yaml.UnmarshalStrict(read(t, observe+"rules_test.yaml"), &tests); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tests.RuleFiles, []string{"rules.yaml"}) {
		t.Fatalf("%q", tests.RuleFiles)
	}
	all := rules(t, read(t, observe+"rules.yaml"))
	fired, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		t.Run(test.Name, func(t *testing.T) {
			now := evaluation{database: newDatabase(t), rules: all}
			for _, input := range test.InputSeries {
				now.load(input.Series, input.Values, time.Duration(test.Interval))
			}
			firing := map[time.Duration]map[string][]alert{}
			for at := time.Duration(0); at <= time.Hour; at += time.Duration(tests.EvaluationInterval) {
				firing[at] = now.step(at)
			}
			for _, c := range test.Alerts {
				got := firing[time.Duration(c.At)][c.Name]
				if fmt.Sprint(got) != fmt.Sprint(c.Want) {
					t.Errorf("%s at %v is\n%v\nwant\n%v", c.Name, c.At, got, c.Want)
				}
				fired[c.Name] = fired[c.Name] || len(c.Want) > 0
			}
			for _, states := range firing {
				for _, rule := range all {
					quiet[rule.Alert] = quiet[rule.Alert] || len(states[rule.Alert]) == 0
				}
			}
			for _, c := range test.Expressions {
				got, want := map[string]float64{}, map[string]float64{}
				for _, sample := range now.ask(c.Expression, time.Duration(c.At)) {
					got[sample.Metric.String()] = sample.F
				}
				for _, sample := range c.Want {
					name, err := promQL.ParseMetric(sample.Labels)
					if err != nil {
						t.Fatal(err)
					}
					want[name.String()] = sample.Value
				}
				if !maps.Equal(got, want) {
					t.Errorf("%s at %v is %v, want %v", c.Expression, c.At, got, want)
				}
			}
		})
	}
	for _, rule := range all {
		if rule.Alert != "" && !(fired[rule.Alert] && quiet[rule.Alert]) {
			t.Errorf("no test lets %s fire, or none keeps it quiet", rule.Alert)
		}
	}
}

func TestRulesAskForMetricsThatThereAre(t *testing.T) {
	known := known(t)
	for _, rule := range rules(t, read(t, observe+"rules.yaml")) {
		out := check(t, rule.Expr, known)
		if rule.Record != "" {
			known[rule.Record] = out
		}
		for _, text := range rule.Annotations {
			for _, piece := range strings.Split(text, "$labels.")[1:] {
				name := strings.FieldsFunc(piece, func(r rune) bool { return r == ' ' || r == '}' })[0]
				if !slices.Contains(out, name) {
					t.Errorf("%s speaks of the label %s, which it does not have", rule.Alert, name)
				}
			}
		}
		if rule.Alert != "" && (rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "") {
			t.Errorf("%s: %+v", rule.Alert, rule)
		}
	}
}
