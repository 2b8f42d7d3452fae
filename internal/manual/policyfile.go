package manual

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/config/location"
	"github.com/rtshield/rtshield/internal/shield"
)

// PolicyFile is the man page of the policy file, and of the annotations that it bounds.
func PolicyFile(version string) *Page {
	p := NewPage("rtshield.toml", "5", version)
	p.Section("NAME")
	p.Paragraph("rtshield.toml - what real-time containers may have on this host, and how they ask for it")
	p.Section("SYNOPSIS")
	p.Paragraph(location.Default)
	p.Section("DESCRIPTION")
	p.Paragraph("The file is TOML, root's, and writable by nobody else. Without it the built-in classes hold, and all CPUs but the first core " +
		"can be granted, or those of isolcpus= and nohz_full=. A mistake is an error with file, line and what was expected. Of an engine's " +
		"verbs only create reads it.")
	table := ""
	for _, setting := range Settings() {
		if setting.Table != table {
			table = setting.Table
			p.table(table)
		}
		p.Item(setting.Key, setting.Meaning)
		p.More("Values: " + setting.Values)
		p.More("Default: " + setting.Default)
	}
	p.Section("ANNOTATIONS")
	p.Paragraph(fmt.Sprintf("%s/KEY asks for a pod's containers or a container, KEY.%s/CONTAINER for one of a pod, and wins. A wrong value, an "+
		"unknown key or a request beyond a ceiling fails create with one line.", shield.Domain, shield.Domain))
	for _, a := range Annotations() {
		p.Item(shield.Domain+"/"+a.Key, a.Values)
		p.More("Default: " + a.Default)
	}
	p.Section("EXAMPLE")
	p.Verbatim(example)
	p.Section("ENVIRONMENT")
	p.Item("RTSHIELD_CONFIG", "Names another policy file, in the environment of the engine or of a command.")
	p.Section("SEE ALSO")
	p.Paragraph("rtshield(8), runc(8), crun(1), cpuset(7), sched(7)")
	return p
}

const example = `[layout]
shield = "2-7"

[class.motor]
policy = "fifo"
priority = 60
max_priority = 60
max_cpus = 2
require_level = "cpuset"`

// table begins the section of a table.
func (p *Page) table(name string) {
	if name != config.TableClass {
		p.Section("[" + name + "]")
		return
	}
	p.Section("[" + name + ".NAME]")
	p.Paragraph("A kind of service: defaults and ceilings for the containers that ask for it. What is left out is as in the built-in class of " +
		"this name (fifo, rr, deadline, batch), else as in that of its policy.")
}
