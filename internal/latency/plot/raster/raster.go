// Package raster draws a report as a PNG. It is in a program of its own, rtshield-plot: what fonts and compression
// initialise, every OCI verb of rtshield would pay for.
package raster

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"github.com/rtshield/rtshield/internal/latency"
	"github.com/rtshield/rtshield/internal/latency/plot"
)

// scale makes a picture of 1920 by 1200: 300 dots an inch on 16 cm.
const scale = 2

// PNG draws a report.
func PNG(report *latency.Report) ([]byte, error) {
	typeface, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	c := &canvas{RGBA: image.NewRGBA(image.Rect(0, 0, plot.Width*scale, plot.Height*scale)), typeface: typeface}
	draw.Draw(c, c.Bounds(), image.White, image.Point{}, draw.Src)
	plot.Draw(report, c)
	if c.err != nil {
		return nil, c.err
	}
	var b bytes.Buffer
	err = png.Encode(&b, c)
	return b.Bytes(), err
}

// canvas keeps the first error.
type canvas struct {
	*image.RGBA
	typeface *opentype.Font
	err      error
}

func (c *canvas) Line(points []plot.Point, pen plot.Pen) {
	var outline [][]plot.Point
	for _, piece := range dashes(points, pen.Dash) {
		outline = append(outline, stroke(piece[0], piece[1], pen.Width, len(pen.Dash) == 0))
	}
	c.fill(pen.Color, outline)
}

func (c *canvas) Dot(at plot.Point, radius float64, color [3]uint8) {
	corners := make([]plot.Point, 32)
	for i := range corners {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(corners)))
		corners[i] = plot.Point{X: at.X + radius*cos, Y: at.Y + radius*sin}
	}
	c.fill(color, [][]plot.Point{corners})
}

func (c *canvas) Text(at plot.Point, align plot.Align, size float64, text string) {
	face, err := opentype.NewFace(c.typeface, &opentype.FaceOptions{Size: size * scale, DPI: 72})
	if err != nil {
		c.err = err
		return
	}
	defer face.Close()
	d := font.Drawer{Dst: c, Src: image.Black, Face: face}
	x := at.X * scale
	switch width := float64(d.MeasureString(text)) / 64; align {
	case plot.Middle:
		x -= width / 2
	case plot.End:
		x -= width
	}
	d.Dot = fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(at.Y * scale * 64)}
	d.DrawString(text)
}

// fill fills polygons, in no more of the picture than they touch.
func (c *canvas) fill(rgb [3]uint8, polygons [][]plot.Point) {
	var box image.Rectangle
	for _, polygon := range polygons {
		for _, p := range polygon {
			x, y := int(p.X*scale), int(p.Y*scale)
			box = box.Union(image.Rect(x-1, y-1, x+2, y+2))
		}
	}
	box = box.Intersect(c.Bounds())
	v := vector.NewRasterizer(box.Dx(), box.Dy())
	for _, polygon := range polygons {
		for i, p := range polygon {
			x, y := float32(p.X*scale)-float32(box.Min.X), float32(p.Y*scale)-float32(box.Min.Y)
			if i == 0 {
				v.MoveTo(x, y)
			} else {
				v.LineTo(x, y)
			}
		}
		v.ClosePath()
	}
	v.Draw(c, box, image.NewUniform(color.RGBA{rgb[0], rgb[1], rgb[2], 255}), image.Point{})
}

// stroke outlines a piece of a line; of a whole line half its width longer on both ends, so that corners are filled. All
// pieces turn the same way: where two lie upon each other they add up, and do not cancel.
func stroke(from, to plot.Point, width float64, whole bool) []plot.Point {
	length := math.Hypot(to.X-from.X, to.Y-from.Y)
	dx, dy := (to.X-from.X)/length*width/2, (to.Y-from.Y)/length*width/2
	if whole {
		from, to = plot.Point{X: from.X - dx, Y: from.Y - dy}, plot.Point{X: to.X + dx, Y: to.Y + dy}
	}
	return []plot.Point{
		{X: from.X - dy, Y: from.Y + dx}, {X: to.X - dy, Y: to.Y + dx}, {X: to.X + dy, Y: to.Y - dx}, {X: from.X + dy, Y: from.Y - dx},
	}
}

// dashes cuts a line into the pieces that are drawn.
func dashes(points []plot.Point, pattern []float64) (pieces [][2]plot.Point) {
	which, left := 0, math.Inf(1)
	if len(pattern) > 0 {
		left = pattern[0]
	}
	for i := range len(points) - 1 {
		from, to := points[i], points[i+1]
		for length := math.Hypot(to.X-from.X, to.Y-from.Y); length > 0; {
			step := math.Min(left, length)
			next := plot.Point{X: from.X + (to.X-from.X)*step/length, Y: from.Y + (to.Y-from.Y)*step/length}
			if which%2 == 0 {
				pieces = append(pieces, [2]plot.Point{from, next})
			}
			from, length, left = next, length-step, left-step
			if left <= 0 {
				which = (which + 1) % len(pattern)
				left = pattern[which]
			}
		}
	}
	return pieces
}
