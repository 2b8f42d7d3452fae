// Command rtshield-plot draws what rtshield latency has measured: it turns the JSON of a report into an SVG or a PNG.
// rtshield latency calls it for the PNG.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rtshield/rtshield/internal/latency"
	"github.com/rtshield/rtshield/internal/latency/plot"
	"github.com/rtshield/rtshield/internal/latency/plot/raster"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rtshield-plot:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: rtshield-plot REPORT.json PICTURE.png|PICTURE.svg…")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	report, err := latency.Read(text)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	for _, file := range args[1:] {
		var picture []byte
		switch filepath.Ext(file) {
		case ".svg":
			picture = plot.SVG(report)
		case ".png":
			picture, err = raster.PNG(report)
		default:
			err = fmt.Errorf("%s: the name of a picture ends in .png or .svg", file)
		}
		if err == nil {
			err = os.WriteFile(file, picture, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
