package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/latency"
)

// report has three ways of 2000 wake-ups each, the first of them up to 50 ms late.
func report(t *testing.T) *latency.Report {
	t.Helper()
	way := func(name, counts string, p999, latest int) string {
		return fmt.Sprintf(`{"name":%q,"histogram":{%s},"max_us":%d,"percentiles_us":{"p99.9":%d}}`, name, counts, latest, p999)
	}
	r, err := latency.Read([]byte(`{"load":"stress <&> more","rounds":1,"ways":[` + strings.Join([]string{
		way("runc", `"0":3,"20":1990,"21":5,"4000":1,"50000":1`, 4000, 50000),
		way("runc + cpus=1", `"22":1998,"3000":2`, 3000, 3000),
		way("rtshield", `"10":1500,"11":490,"30":10`, 30, 30),
	}, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// elements gives the names, attributes and texts of a picture, which has to be well-formed.
func elements(t *testing.T, svg []byte) (lines, circles []map[string]string, texts []string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return lines, circles, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		switch element := token.(type) {
		case xml.StartElement:
			attributes := map[string]string{}
			for _, attribute := range element.Attr {
				attributes[attribute.Name.Local] = attribute.Value
			}
			switch element.Name.Local {
			case "polyline":
				lines = append(lines, attributes)
			case "circle":
				circles = append(circles, attributes)
			}
		case xml.CharData:
			if text := strings.TrimSpace(string(element)); text != "" {
				texts = append(texts, text)
			}
		}
	}
}

func TestThePictureHasThreeCurvesAndItsAxesAreNamed(t *testing.T) {
	lines, circles, texts := elements(t, SVG(report(t)))
	styles := map[string]bool{}
	for i, pen := range pens {
		pieces := 0
		for _, line := range lines {
			if line["stroke"] == hex(pen.Color) {
				pieces++
				styles[line["stroke-dasharray"]] = true
			}
		}
		if pieces < 2 { // one of them is the legend's
			t.Errorf("curve %d has %d lines", i, pieces)
		}
	}
	if len(styles) != 3 {
		t.Errorf("without colour the curves look like %v", styles)
	}
	if len(circles) != 3 {
		t.Errorf("%d dots for p99.9", len(circles))
	}
	all := strings.Join(texts, "\n")
	for _, text := range []string{
		"wake-ups (log scale)", "how late (log scale)", "10 µs", "100 ms", "1000", "load: stress <&> more",
		"runc: p99.9 4000 µs, max 50000 µs", "runc + cpus=1: p99.9 3000 µs", "rtshield: p99.9 30 µs, max 30 µs",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("no %q in\n%s", text, all)
		}
	}
}

func TestTheBarsCountEachWakeUpOnce(t *testing.T) {
	for _, way := range report(t).Ways {
		bars := barsOf(way.Histogram)
		var n uint64
		for i, b := range bars {
			n += b.count
			if b.to < b.from+1 || i > 0 && b.from < bars[i-1].to {
				t.Errorf("%s: bar %d is from %v to %v", way.Name, i, b.from, b.to)
			}
		}
		if n != way.Histogram.Samples() {
			t.Errorf("%s: %d of %d", way.Name, n, way.Histogram.Samples())
		}
	}
}

func TestAllOfThePictureIsInsideOfIt(t *testing.T) {
	var c bounds
	Draw(report(t), &c)
	if outside := slices.DeleteFunc(c.points, func(p Point) bool { return p.X >= 0 && p.X <= Width && p.Y >= 0 && p.Y <= Height }); len(outside) > 0 {
		t.Errorf("%v", outside)
	}
}

type bounds struct{ points []Point }

func (b *bounds) Line(points []Point, _ Pen)                  { b.points = append(b.points, points...) }
func (b *bounds) Dot(at Point, _ float64, _ [3]uint8)         { b.points = append(b.points, at) }
func (b *bounds) Text(at Point, _ Align, _ float64, _ string) { b.points = append(b.points, at) }
