package raster

import (
	"bytes"
	"image/color"
	"image/png"
	"testing"

	"github.com/rtshield/rtshield/internal/latency"
	"github.com/rtshield/rtshield/internal/latency/plot"
)

func TestThePNGShowsThreeCurvesAndText(t *testing.T) {
	report, err := latency.Read([]byte(`{"load":"µ","ways":[
		{"name":"runc","histogram":{"20":1990,"4000":9},"max_us":4000},
		{"name":"runc + cpus=1","histogram":{"22":1998},"max_us":22},
		{"name":"rtshield","histogram":{"10":1500},"max_us":10}]}`))
	if err != nil {
		t.Fatal(err)
	}
	data, err := PNG(report)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != plot.Width*scale || size.Y != plot.Height*scale {
		t.Errorf("%v", size)
	}
	count := map[color.RGBA]int{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	for name, want := range map[string]color.RGBA{
		"runc": {0xd5, 0x5e, 0x00, 255}, "runc + cpus": {0x00, 0x9e, 0x73, 255}, "rtshield": {0x00, 0x72, 0xb2, 255}, "text": {0, 0, 0, 255},
	} {
		if count[want] < 500 {
			t.Errorf("%d pixels of %s", count[want], name)
		}
	}
}

func TestDashesGoRoundCornersAndCoverTheLine(t *testing.T) {
	corner := []plot.Point{{X: 0, Y: 0}, {X: 5, Y: 0}, {X: 5, Y: 5}}
	if whole := dashes(corner, nil); len(whole) != 2 {
		t.Errorf("%v", whole)
	}
	pieces := dashes(corner, []float64{3, 1})
	want := [][2]plot.Point{
		{{X: 0, Y: 0}, {X: 3, Y: 0}}, {{X: 4, Y: 0}, {X: 5, Y: 0}}, {{X: 5, Y: 0}, {X: 5, Y: 2}}, {{X: 5, Y: 3}, {X: 5, Y: 5}},
	}
	if len(pieces) != len(want) {
		t.Fatalf("%v", pieces)
	}
	for i := range want {
		if pieces[i] != want[i] {
			t.Errorf("piece %d: %v, want %v", i, pieces[i], want[i])
		}
	}
}
