package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/config/location"
	"github.com/rtshield/rtshield/internal/manual"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/terminal"
)

// topics are what help knows beside the commands.
var topics = []struct {
	name, usage string
	print       func(terminal.Page)
}{
	{"annotations", "what a container may ask for", helpAnnotations},
	{"classes", "the classes of this host, with their defaults and ceilings", helpClasses},
	{"levels", "how strongly others are kept off a container's CPUs", helpLevels},
	{"policy", "what the policy file may say", helpPolicy},
}

// helping is the command help.
func helping() *cli.Command {
	var text strings.Builder
	text.WriteString("What there is beside the commands:\n\n")
	for _, topic := range topics {
		fmt.Fprintf(&text, "   %-11s  %s\n", topic.name, topic.usage)
	}
	text.WriteString("\nEXAMPLES\n   rtshield help annotations\n   rtshield help status")
	return &cli.Command{
		Name: "help", Aliases: []string{"h"}, Usage: "of a command, or of " + strings.Join(topicNames(), ", "),
		ArgsUsage: "[COMMAND | " + strings.Join(topicNames(), " | ") + "]", Description: text.String(),
		Action: help, HideHelpCommand: true,
	}
}

func topicNames() (names []string) {
	for _, topic := range topics {
		names = append(names, topic.name)
	}
	return names
}

func help(c *cli.Context) error {
	name := c.Args().First()
	if name == "" {
		return cli.ShowAppHelp(c)
	}
	for _, topic := range topics {
		if topic.name == name {
			topic.print(terminal.To(c.App.Writer))
			return nil
		}
	}
	if page := manPages(c.App)[name]; page != nil {
		_, err := io.WriteString(c.App.Writer, page().String())
		return err
	}
	command := c.App.Command(name)
	if command == nil {
		return fmt.Errorf("help: %q is no command of the administrator's and no topic (%s); an OCI verb is the delegate's: rtshield %s --help",
			name, strings.Join(topicNames(), ", "), name)
	}
	return c.App.RunContext(c.Context, slices.Concat([]string{c.App.Name}, c.Args().Slice(), []string{"--help"}))
}

func helpAnnotations(page terminal.Page) {
	page.Fill("", fmt.Sprintf("%s/<key> asks for a pod's containers or a container, <key>.%s/<container> for one of a pod, and wins.", shield.Domain, shield.Domain))
	fmt.Fprintln(page)
	all := manual.Annotations()
	width := 0
	for _, a := range all {
		width = max(width, len(a.Key))
	}
	for _, a := range all {
		page.Fill(page.Paint(terminal.Bold, fmt.Sprintf("%-*s  ", width, a.Key)), a.Values)
		page.Fill(strings.Repeat(" ", width+2), page.Paint(terminal.Faint, "default: "+a.Default))
	}
}

func helpPolicy(page terminal.Page) {
	page.Fill("", fmt.Sprintf("%s, root's and writable by nobody else; RTSHIELD_CONFIG names another. A class is a table [%s.<name>]; what it leaves out is as in the "+
		"built-in class of its name, else of its policy.", location.Default, config.TableClass))
	table := ""
	for _, s := range manual.Settings() {
		if s.Table != table {
			table = s.Table
			title := table
			if table == config.TableClass {
				title += ".<name>"
			}
			fmt.Fprintf(page, "\n%s\n", page.Paint(terminal.Bold, "["+title+"]"))
		}
		page.Fill(page.Paint(terminal.Bold, "  "+s.Key+"  "), s.Meaning)
		page.Fill("      ", s.Values)
		page.Fill("      ", page.Paint(terminal.Faint, "default: "+s.Default))
	}
}

func helpLevels(page terminal.Page) {
	for i, level := range manual.Levels() {
		if i > 0 {
			fmt.Fprintln(page)
		}
		page.Fill(page.Paint(terminal.Bold, fmt.Sprintf("%-9s  ", level.Name)), level.How)
		page.Fill("           ", page.Paint(terminal.Faint, "where: "+level.Where))
	}
}

func helpClasses(page terminal.Page) {
	policy, err := config.Load()
	switch {
	case err != nil:
		page.Fill("", fmt.Sprintf("the policy file cannot be used: %v. These are the built-in classes:", err))
		policy = config.Default()
	case policy.Path == "":
		page.Fill("", "There is no policy file. These are the built-in classes:")
	default:
		page.Fill("", fmt.Sprintf("The classes of %s, with what it leaves out:", policy.Path))
	}
	names, rows := manual.Classes(policy.Classes)
	const most = 4 // classes beside each other
	for first := 0; first < len(names); first += most {
		last := min(first+most, len(names))
		columns := []terminal.Column{{Head: "OPTION"}}
		for _, name := range names[first:last] {
			columns = append(columns, terminal.Column{Head: name, Shorten: terminal.End, Least: 8})
		}
		var cells [][]terminal.Cell
		for _, row := range rows {
			line := []terminal.Cell{{Text: row[0], Style: terminal.Bold}}
			for _, value := range row[1+first : 1+last] {
				line = append(line, terminal.Cell{Text: value})
			}
			cells = append(cells, line)
		}
		fmt.Fprintln(page)
		page.Table(columns, cells)
	}
}
