package status

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// exposition collects metrics in Prometheus' text format, in which all series of a metric stand together.
type exposition struct {
	metrics []metric
}

type metric struct {
	name, help, kind string
	series           []series
	seen             map[string]bool
}

type series struct {
	labels string
	value  float64
}

func (e *exposition) gauge(name, help string, value float64, labels ...string) {
	e.add("gauge", name, help, value, labels)
}

func (e *exposition) counter(name, help string, value float64, labels ...string) {
	e.add("counter", name, help, value, labels)
}

// add notes a value. Of a series that is there already the first counts: a reader throws a text with two of a kind away.
func (e *exposition) add(kind, name, help string, value float64, labels []string) {
	at := slices.IndexFunc(e.metrics, func(m metric) bool { return m.name == name })
	if at < 0 {
		at, e.metrics = len(e.metrics), append(e.metrics, metric{name: name, help: help, kind: kind, seen: map[string]bool{}})
	}
	m := &e.metrics[at]
	text := written(labels)
	if !m.seen[text] {
		m.seen[text], m.series = true, append(m.series, series{text, value})
	}
}

// written puts pairs of a label and its value as they stand behind a metric's name.
func written(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`) // not at the program's start, for which every verb would pay
	var pairs []string
	for pair := range slices.Chunk(labels, 2) {
		pairs = append(pairs, pair[0]+`="`+quoted.Replace(strings.ToValidUTF8(pair[1], "\uFFFD"))+`"`)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// WriteTo writes all of it.
func (e *exposition) WriteTo(w io.Writer) (int64, error) {
	var text strings.Builder
	for _, m := range e.metrics {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, s := range m.series {
			text.WriteString(m.name + s.labels + " " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
		}
	}
	n, err := io.WriteString(w, text.String())
	return int64(n), err
}
