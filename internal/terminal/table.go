package terminal

import (
	"fmt"
	"strings"
)

// Column is one of a table.
type Column struct {
	Head string
	// Right: numbers stand under each other by their last digit.
	Right bool
	// Shorten makes a text fit, down to Least columns. Without it, none is shortened.
	Shorten func(text string, width int) string
	Least   int
	// Spare is for columns that may be left out where the table is too wide, the one with the most first. 0: never.
	Spare int
}

// Cell is one text of a table.
type Cell struct {
	Text  string
	Style Style
}

const gap = 2

// Table prints rows under the heads of columns, if they have any. A column without any text is left out.
func (p Page) Table(columns []Column, rows [][]Cell) {
	widths := fit(columns, rows, p.Width)
	heads, headed := make([]Cell, len(columns)), false
	for i, column := range columns {
		heads[i], headed = Cell{column.Head, Faint}, headed || column.Head != ""
	}
	if headed {
		fmt.Fprintln(p, p.line(columns, widths, heads))
	}
	for _, row := range rows {
		fmt.Fprintln(p, p.line(columns, widths, row))
	}
}

func (p Page) line(columns []Column, widths []int, row []Cell) string {
	var line strings.Builder
	pending := 0 // blanks that only count if something follows
	for i, cell := range row {
		if widths[i] == 0 {
			continue
		}
		text := cell.Text
		if shorten := columns[i].Shorten; shorten != nil {
			text = shorten(text, widths[i])
		}
		blank := widths[i] - Columns(text)
		if columns[i].Right {
			pending, blank = pending+blank, 0
		}
		if text != "" {
			line.WriteString(strings.Repeat(" ", pending) + p.Paint(cell.Style, text))
			pending = 0
		}
		pending += blank + gap
	}
	return line.String()
}

// fit gives each column its width, 0 to those that are left out.
func fit(columns []Column, rows [][]Cell, width int) []int {
	widths := make([]int, len(columns))
	for i, column := range columns {
		for _, row := range rows {
			widths[i] = max(widths[i], Columns(row[i].Text))
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], Columns(column.Head))
		}
	}
	least := func(i int) int {
		if columns[i].Shorten == nil {
			return widths[i]
		}
		return min(widths[i], max(columns[i].Least, Columns(columns[i].Head)))
	}
	for total(widths, least) > width {
		spare := -1
		for i, column := range columns {
			if widths[i] > 0 && column.Spare > 0 && (spare < 0 || column.Spare > columns[spare].Spare) {
				spare = i
			}
		}
		if spare < 0 {
			break
		}
		widths[spare] = 0
	}
	for total(widths, func(i int) int { return widths[i] }) > width {
		widest := -1
		for i := range columns {
			if widths[i] > least(i) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

func total(widths []int, of func(int) int) int {
	sum := -gap
	for i, width := range widths {
		if width > 0 {
			sum += of(i) + gap
		}
	}
	return sum
}
