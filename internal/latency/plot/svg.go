package plot

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/internal/latency"
)

// SVG draws a report as a picture that scales.
func SVG(report *latency.Report) []byte {
	var s svg
	fmt.Fprintf(&s.Buffer, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Go, Helvetica, Arial, sans-serif">`+"\n",
		Width, Height, Width, Height)
	fmt.Fprintf(&s.Buffer, `<rect width="%d" height="%d" fill="white"/>`+"\n", Width, Height)
	Draw(report, &s)
	s.WriteString("</svg>\n")
	return s.Bytes()
}

type svg struct{ bytes.Buffer }

func (s *svg) Line(points []Point, pen Pen) {
	s.WriteString(`<polyline points="`)
	for i, p := range points {
		if i > 0 {
			s.WriteByte(' ')
		}
		fmt.Fprintf(s, "%.1f,%.1f", p.X, p.Y)
	}
	fmt.Fprintf(s, `" fill="none" stroke="%s" stroke-width="%g"`, hex(pen.Color), pen.Width)
	for i, length := range pen.Dash {
		fmt.Fprintf(s, "%s%g", []string{` stroke-dasharray="`, " "}[min(i, 1)], length)
	}
	if len(pen.Dash) > 0 {
		s.WriteByte('"')
	}
	s.WriteString("/>\n")
}

func (s *svg) Dot(at Point, radius float64, color [3]uint8) {
	fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>`+"\n", at.X, at.Y, radius, hex(color))
}

func (s *svg) Text(at Point, align Align, size float64, text string) {
	anchor := []string{"start", "middle", "end"}[align]
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s">%s</text>`+"\n", at.X, at.Y, size, anchor, escape(text))
}

func hex(color [3]uint8) string { return fmt.Sprintf("#%02x%02x%02x", color[0], color[1], color[2]) }

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}
