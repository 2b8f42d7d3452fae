package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/config/location"
	"github.com/rtshield/rtshield/internal/manual"
)

// manPages are what `help` prints for `make man`. cli's own ToMan leaves the commands' descriptions out, and its library
// costs each start 0.4 ms.
func manPages(app *cli.App) map[string]func() *manual.Page {
	return map[string]func() *manual.Page{
		"rtshield.8":      func() *manual.Page { return commandsPage(app) },
		"rtshield.toml.5": func() *manual.Page { return manual.PolicyFile(version) },
	}
}

func commandsPage(app *cli.App) *manual.Page {
	p := manual.NewPage("rtshield", "8", version)
	p.Section("NAME")
	p.Paragraph("rtshield - " + app.Usage)
	p.Section("SYNOPSIS")
	p.Verbatim("rtshield COMMAND [OPTION…] [ARGUMENT…]\nrtshield [GLOBAL OPTION…] OCI-VERB …")
	p.Section("DESCRIPTION")
	p.Paragraph(app.Description)
	p.Paragraph("The name that rtshield is called by gives a container its class: a link rtshield-fifo makes every container of that runtime one of " +
		"class fifo. Annotations and the policy file are in rtshield.toml(5).")
	p.Section("OPTIONS")
	options(p, app.VisibleFlags())
	p.Section("COMMANDS")
	describe(p, "rtshield", app.Commands)
	p.Section("LEVELS")
	p.Paragraph("How strongly others are kept off a container's CPUs:")
	for _, level := range manual.Levels() {
		p.Item(level.Name, level.How+".")
		p.More("Where: " + level.Where + ".")
	}
	p.Section("FILES")
	p.Item(location.Default, "The policy file, rtshield.toml(5).")
	p.Item(config.DefaultState, "The ledger: what was granted, and what each setting was before. It is gone with the next boot, as the grants are.")
	p.Item("rtshield-reconcile.service", "Runs rtshield reconcile at boot, and after each start of an engine, where it is enabled.")
	p.Section("ENVIRONMENT")
	p.Item("RTSHIELD_CONFIG", "Names another policy file.")
	p.Item("NO_COLOR", "Set to anything: no colours on a terminal.")
	p.Section("SEE ALSO")
	p.Paragraph("rtshield.toml(5), runc(8), crun(1), cyclictest(8), cpuset(7), sched(7)")
	return p
}

// describe shows commands, and those below them.
func describe(p *manual.Page, above string, list []*cli.Command) {
	for _, command := range list {
		if command.Hidden {
			continue
		}
		name := above + " " + command.Name
		title := name
		if len(command.VisibleFlags()) > 0 {
			title += " [OPTION…]"
		}
		if command.ArgsUsage != "" {
			title += " " + command.ArgsUsage
		}
		p.Sub(title)
		p.Paragraph(command.Usage)
		options(p, command.VisibleFlags())
		p.Described(command.Description)
		describe(p, name, command.Subcommands)
	}
}

func options(p *manual.Page, flags []cli.Flag) {
	for _, flag := range flags {
		documented, is := flag.(cli.DocGenerationFlag)
		if !is {
			continue
		}
		usage := documented.GetUsage()
		value, named := "VALUE", false
		if _, rest, quoted := strings.Cut(usage, "`"); quoted {
			value, _, named = strings.Cut(rest, "`")
		}
		names := slices.Clone(flag.Names())
		for i, name := range names {
			names[i] = strings.Repeat("-", min(len(name), 2)) + name
		}
		term := strings.Join(names, ", ")
		if documented.TakesValue() {
			term += " " + value
		}
		if named {
			usage = strings.ReplaceAll(usage, "`", "")
		}
		if text := defaultOf(documented); text != "" {
			usage += fmt.Sprintf(" (default: %s)", text)
		}
		p.Item(term, usage)
	}
}

func defaultOf(flag cli.DocGenerationFlag) string {
	if !flag.TakesValue() || strings.Contains(flag.GetUsage(), "(default:") {
		return ""
	}
	if text := flag.GetDefaultText(); text != "" {
		return text
	}
	return flag.GetValue()
}
