package manifests_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

var (
	promQL = parser.NewParser(parser.Options{})
	silent = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// database is Prometheus with a few series in memory. Prometheus' own would bring the clients of every cloud with it.
type database struct {
	t      *testing.T
	engine *promql.Engine
	series map[string]*series
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// sample is a value at a time, in ms since 1970: as for promtool, tests begin there.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                    { return s.at }
func (sample) ST() int64                     { return 0 }
func (s sample) F() float64                  { return s.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

func newDatabase(t *testing.T) *database {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{Logger: silent, MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promQL})
	t.Cleanup(func() { _ = engine.Close() })
	return &database{t: t, engine: engine, series: map[string]*series{}}
}

func (d *database) add(name labels.Labels, at time.Duration, value float64) {
	key := name.String()
	if d.series[key] == nil {
		d.series[key] = &series{labels: name}
	}
	d.series[key].samples = append(d.series[key].samples, sample{at.Milliseconds(), value})
}

// ask evaluates an expression at a time.
func (d *database) ask(expression string, at time.Duration) promql.Vector {
	d.t.Helper()
	query, err := d.engine.NewInstantQuery(context.Background(), &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: d.find}}, nil, expression, time.UnixMilli(at.Milliseconds()))
	if err != nil {
		d.t.Fatalf("%v: %s", err, expression)
	}
	defer query.Close()
	result := query.Exec(context.Background())
	if scalar, err := result.Scalar(); err == nil {
		return promql.Vector{{F: scalar.V}}
	}
	vector, err := result.Vector()
	if err != nil {
		d.t.Fatalf("%v: %s", err, expression)
	}
	return slices.Clone(vector) // the query's own go back with it
}

func (d *database) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &found{}
	for _, key := range slices.Sorted(maps.Keys(d.series)) {
		one := d.series[key]
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.labels.Get(m.Name)) }) {
			continue
		}
		found.series = append(found.series, storage.NewListSeries(one.labels, one.samples))
	}
	return found
}

type found struct {
	series []storage.Series
	next   int
}

func (f *found) Next() bool                      { f.next++; return f.next <= len(f.series) }
func (f *found) At() storage.Series              { return f.series[f.next-1] }
func (*found) Err() error                        { return nil }
func (*found) Warnings() annotations.Annotations { return nil }

// gone is what Prometheus writes where a series is not there any more.
var gone = math.Float64frombits(value.StaleNaN)

// exposed names the files that tests of the product hold to what it writes.
var exposed = []string{"../../internal/status/testdata/busy.prom", "../../internal/node/testdata/ready.prom"}

// scraped are the labels that Prometheus adds to all that it reads.
var scraped = []string{"job", "instance"}

// written gives every series that rtshield and rtshield-node write, as one node exporter's, and the one that this adds.
func written(t *testing.T) []labels.Labels {
	t.Helper()
	all := []labels.Labels{labels.FromStrings("__name__", "node_textfile_mtime_seconds", "file", "/var/lib/node_exporter/textfile_collector/rtshield.prom")}
	for _, file := range exposed {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reader := expfmt.NewTextParser(model.UTF8Validation)
		families, err := reader.TextToMetricFamilies(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for name, family := range families {
			for _, metric := range family.GetMetric() {
				pairs := []string{"__name__", name}
				for _, pair := range metric.GetLabel() {
					pairs = append(pairs, pair.GetName(), pair.GetValue())
				}
				all = append(all, labels.FromStrings(pairs...))
			}
		}
	}
	for i := range all {
		builder := labels.NewBuilder(all[i])
		builder.Set("job", "node-exporter").Set("instance", "n1")
		all[i] = builder.Labels()
	}
	return all
}

// known are the metrics that there are, with their labels.
func known(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	for _, one := range written(t) {
		one.Range(func(l labels.Label) {
			if name := one.Get("__name__"); l.Name != "__name__" && !slices.Contains(names[name], l.Name) {
				names[name] = append(names[name], l.Name)
			}
		})
	}
	return names
}

// check says what an expression asks for that there is not, and gives the labels of what comes out of it.
func check(t *testing.T, expression string, known map[string][]string) (out []string) {
	t.Helper()
	parsed, err := promQL.ParseExpr(expression)
	if err != nil {
		t.Errorf("%v: %s", err, expression)
		return nil
	}
	var of func(parser.Node) []string
	of = func(node parser.Node) (out []string) {
		has := func(names ...string) {
			for _, name := range names {
				if !slices.Contains(out, name) {
					t.Errorf("there is no label %s: %s", name, node)
				}
			}
		}
		for child := range parser.ChildrenIter(node) {
			for _, name := range of(child) {
				if !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
		switch node := node.(type) {
		case *parser.VectorSelector:
			labels, is := known[node.Name]
			if !is {
				t.Errorf("there is no metric %q: %s", node.Name, node)
			}
			out = labels
			for _, matcher := range node.LabelMatchers {
				if matcher.Name != "__name__" {
					has(matcher.Name)
				}
			}
		case *parser.AggregateExpr:
			has(node.Grouping...)
			if !node.Without {
				out = node.Grouping
			}
		case *parser.BinaryExpr:
			if node.VectorMatching != nil {
				has(node.VectorMatching.MatchingLabels...)
				has(node.VectorMatching.Include...)
			}
		}
		return out
	}
	return of(parsed)
}
