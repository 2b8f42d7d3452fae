// Package plot draws the histograms of a report in one picture. What is drawn is decided here, once; a Canvas knows how:
// SVG is here, PNG in package raster, whose libraries the OCI verbs shall not pay for.
package plot

import (
	"fmt"
	"math"
	"strings"

	"github.com/rtshield/rtshield/internal/latency"
)

// Width and Height of a picture, in the Canvas's units.
const (
	Width  = 960
	Height = 600
)

// Point is a place on a Canvas; y grows downwards.
type Point struct{ X, Y float64 }

// Pen is how a line is drawn: RGB, width, and the lengths of dashes and gaps, none for a whole line.
type Pen struct {
	Color [3]uint8
	Width float64
	Dash  []float64
}

// Canvas takes a picture, on white.
type Canvas interface {
	Line(points []Point, pen Pen)
	Dot(at Point, radius float64, color [3]uint8)
	// Text stands on the line of at, and begins there (Start), or ends there (End), or has its middle there.
	Text(at Point, align Align, size float64, text string)
}

// Align is on which side of its place a text is.
type Align int

// The three sides.
const (
	Start Align = iota
	Middle
	End
)

// The curves differ in colour, and for print without it in their dashes. The colours are told apart with every kind of
// colour vision (Okabe and Ito).
var pens = []Pen{
	{Color: [3]uint8{0xd5, 0x5e, 0x00}, Width: 1.8, Dash: []float64{7, 3}},
	{Color: [3]uint8{0x00, 0x9e, 0x73}, Width: 1.8, Dash: []float64{2.5, 2.5}},
	{Color: [3]uint8{0x00, 0x72, 0xb2}, Width: 2.6},
}

var (
	axis = Pen{Color: [3]uint8{0x20, 0x20, 0x20}, Width: 1}
	grid = Pen{Color: [3]uint8{0xdd, 0xdd, 0xdd}, Width: 0.8}
)

// frame is where the curves are, and what its sides stand for: powers of ten.
type frame struct {
	left, right, top, bottom float64
	fromX, toX, toY          int // µs; wake-ups go from 10⁰
}

// Draw draws a report.
func Draw(report *latency.Report, c Canvas) {
	f := frame{left: 76, right: Width - 24, top: 56, bottom: Height - 112}
	bars := make([][]bar, len(report.Ways))
	f.toX, f.fromX, f.toY = 2, 5, 1
	for i, way := range report.Ways {
		bars[i] = barsOf(way.Histogram)
		for _, b := range bars[i] {
			f.fromX = min(f.fromX, int(math.Floor(math.Log10(b.from))))
			f.toX = max(f.toX, int(math.Ceil(math.Log10(b.to))))
			f.toY = max(f.toY, int(math.Ceil(math.Log10(float64(b.count+1)))))
		}
	}
	f.fromX = min(f.fromX, f.toX-1)
	c.Text(Point{Width / 2, 30}, Middle, 19, "How late cyclictest was woken")
	f.axes(c)
	for i, way := range report.Ways {
		pen := pens[i%len(pens)]
		for _, points := range f.curve(bars[i]) {
			c.Line(points, pen)
		}
		if at, known := f.place(way, bars[i]); known {
			c.Dot(at, 5, pen.Color)
		}
	}
	f.legend(c, report.Ways)
	y := f.bottom + 62.0
	for _, condition := range report.Conditions() {
		for _, line := range wrap(condition, 140) {
			c.Text(Point{f.left, y}, Start, 12, line)
			y += 16
		}
	}
}

func (f frame) x(us float64) float64 {
	return f.left + (math.Log10(us)-float64(f.fromX))/float64(f.toX-f.fromX)*(f.right-f.left)
}

// y of one wake-up is a little above the line, so that it can be seen.
func (f frame) y(count uint64) float64 {
	if count == 0 {
		return f.bottom
	}
	const lift = 0.15
	return f.bottom - (math.Log10(float64(count))+lift)/(float64(f.toY)+lift)*(f.bottom-f.top)
}

func (f frame) axes(c Canvas) {
	for power := f.fromX; power <= f.toX; power++ {
		us := math.Pow10(power)
		c.Line([]Point{{f.x(us), f.top}, {f.x(us), f.bottom}}, grid)
		c.Text(Point{f.x(us), f.bottom + 19}, Middle, 13, duration(power))
		for digit := 2.0; digit < 10 && power < f.toX; digit++ {
			c.Line([]Point{{f.x(digit * us), f.bottom}, {f.x(digit * us), f.bottom + 4}}, axis)
		}
	}
	for power := range f.toY + 1 {
		y := f.y(uint64(math.Pow10(power)))
		c.Line([]Point{{f.left, y}, {f.right, y}}, grid)
		c.Text(Point{f.left - 8, y + 4}, End, 13, thousands(power))
	}
	c.Line([]Point{{f.left, f.top}, {f.left, f.bottom}, {f.right, f.bottom}}, axis)
	c.Text(Point{f.left - 60, f.top - 12}, Start, 13, "wake-ups (log scale)")
	c.Text(Point{(f.left + f.right) / 2, f.bottom + 40}, Middle, 13, "how late (log scale); a dot marks p99.9, a curve ends with the latest")
}

func (f frame) legend(c Canvas, ways []latency.Way) {
	const line, indent = 20, 300
	y := f.top + 18
	for i, way := range ways {
		c.Line([]Point{{f.right - indent - 44, y - 4}, {f.right - indent - 8, y - 4}}, pens[i%len(pens)])
		text := way.Name + ": "
		if us, known := way.Percentiles[latency.PercentileName(99.9)]; known {
			text += fmt.Sprintf("p99.9 %d µs, ", us)
		}
		c.Text(Point{f.right - indent, y}, Start, 13, text+fmt.Sprintf("max %d µs", way.Max))
		y += line
	}
}

// curve is the outline of the bars, in pieces: where nothing was, there is no line.
func (f frame) curve(bars []bar) (pieces [][]Point) {
	var points []Point
	for i, b := range bars {
		left, right, y := f.x(b.from), f.x(b.to), f.y(b.count)
		if i == 0 || bars[i-1].to != b.from {
			points = []Point{{left, f.bottom}}
		}
		points = append(points, Point{left, y}, Point{right, y})
		if i == len(bars)-1 || bars[i+1].from != b.to {
			pieces = append(pieces, append(points, Point{right, f.bottom}))
		}
	}
	return pieces
}

// place is where the curve of a way has its p99.9.
func (f frame) place(way latency.Way, bars []bar) (at Point, known bool) {
	us, known := way.Percentiles[latency.PercentileName(99.9)]
	if !known {
		return at, false
	}
	for _, b := range bars {
		if late := math.Max(float64(us), 1); b.from <= late && late < b.to {
			return Point{f.x(math.Sqrt(b.from * b.to)), f.y(b.count)}, true
		}
	}
	return at, false
}

func duration(power int) string {
	units := []string{"1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"}
	if power < 0 || power >= len(units) {
		return fmt.Sprintf("10^%d µs", power)
	}
	return units[power]
}

func thousands(power int) string {
	if power < 4 {
		return fmt.Sprint(int(math.Pow10(power)))
	}
	text := strings.Repeat("0", power)
	return strings.TrimSpace("1" + text[:power%3] + strings.Repeat(" 000", power/3))
}

// wrap breaks a text at blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
