package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// shells have a script each, which asks rtshield what could stand where the cursor is. Where that is nothing, it is a file.
var shells = []struct{ name, use, script string }{
	{"bash", `eval "$(rtshield completion bash)" in ~/.bashrc, or into /etc/bash_completion.d/rtshield`, `# completion of rtshield for bash
_rtshield() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _rtshield rtshield
`},
	{"zsh", `source <(rtshield completion zsh) in ~/.zshrc, or into a directory of $fpath as _rtshield`, `#compdef rtshield
_rtshield() {
    local line
    local -a found
    for line in "${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#found )); then _describe rtshield found; else _files; fi
}
if [[ $funcstack[1] == _rtshield ]]; then _rtshield; else compdef _rtshield rtshield; fi
`},
	{"fish", `into ~/.config/fish/completions/rtshield.fish`, `# completion of rtshield for fish
function __rtshield_words
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l found ($words[1] completion words $words[2..] "$last" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$last"
    end
end
complete -c rtshield -f -a '(__rtshield_words)'
`},
}

// completing is the command completion.
func completing() *cli.Command {
	command := &cli.Command{
		Name: "completion", Usage: "print what completes the administrator's commands in bash, zsh or fish", ArgsUsage: "SHELL",
		HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			return fmt.Errorf("completion for which shell? bash, zsh or fish; got %q", c.Args().First())
		},
		Subcommands: []*cli.Command{{
			Name: "words", Hidden: true, SkipFlagParsing: true, HideHelp: true,
			Action: func(c *cli.Context) error {
				for _, found := range candidates(c.App, c.Args().Slice()) {
					fmt.Fprintf(c.App.Writer, "%s\t%s\n", found.word, found.usage)
				}
				return nil
			},
		}},
	}
	description := "EXAMPLES\n"
	for _, shell := range shells {
		description += fmt.Sprintf("   rtshield completion %-4s   %s\n", shell.name, shell.use)
		command.Subcommands = append(command.Subcommands, &cli.Command{
			Name: shell.name, Usage: shell.use, HideHelp: true,
			Action: func(c *cli.Context) error {
				_, err := fmt.Fprint(c.App.Writer, shell.script)
				return err
			},
		})
	}
	command.Description = strings.TrimSpace(description)
	return command
}

// candidate is a word that could stand where the cursor is.
type candidate struct{ word, usage string }

// candidates gives what could be the last of words, the arguments so far. None: a file, or nothing that we know of.
func candidates(app *cli.App, words []string) (found []candidate) {
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "=" }) // bash parts --class=fifo in three
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	commands, flags, name := app.Commands, app.Flags, ""
	var pending cli.Flag // wants a value
	operands := 0
	for _, word := range before {
		if pending != nil {
			pending = nil
			continue
		}
		if strings.HasPrefix(word, "-") {
			pending = wanting(flags, word)
			continue
		}
		at := slices.IndexFunc(commands, func(command *cli.Command) bool { return command.HasName(word) })
		switch {
		case at >= 0:
			commands, flags, name = commands[at].Subcommands, commands[at].Flags, commands[at].FullName()
		case len(commands) > 0:
			return nil // an OCI verb is the delegate's
		default:
			operands++
		}
	}
	switch {
	case pending != nil:
		found = valuesOf(pending)
	case strings.HasPrefix(last, "-"):
		found = flagsOf(flags)
	default:
		found = wordsOf(commands)
	}
	switch {
	case pending != nil || strings.HasPrefix(last, "-"):
	case name == "help" && operands == 0:
		found = wordsOf(app.Commands)
		for _, topic := range topics {
			found = append(found, candidate{topic.name, topic.usage})
		}
	case name == "verify":
		found = containers()
	}
	return slices.DeleteFunc(found, func(c candidate) bool { return !strings.HasPrefix(c.word, last) })
}

// wanting gives the flag that a word is, if a value has to follow.
func wanting(flags []cli.Flag, word string) cli.Flag {
	for _, flag := range flags {
		if !slices.Contains(flag.Names(), strings.TrimLeft(word, "-")) {
			continue
		}
		if documented, is := flag.(cli.DocGenerationFlag); is && documented.TakesValue() {
			return flag
		}
	}
	return nil
}

func flagsOf(flags []cli.Flag) (found []candidate) {
	for _, flag := range flags {
		usage := ""
		if documented, is := flag.(cli.DocGenerationFlag); is {
			usage = strings.ReplaceAll(documented.GetUsage(), "`", "")
		}
		found = append(found, candidate{"--" + flag.Names()[0], usage})
	}
	if !slices.ContainsFunc(found, func(c candidate) bool { return c.word == "--help" }) {
		found = append(found, candidate{"--help", "show help"})
	}
	return found
}

// valuesOf lists the values of a flag that has few. Those of others are files, numbers and names that nobody can guess.
func valuesOf(flag cli.Flag) (found []candidate) {
	if flag.Names()[0] != "class" {
		return nil
	}
	policy, err := config.Load()
	if err != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(policy.Classes)) {
		found = append(found, candidate{name, "policy " + string(policy.Classes[name].Policy)})
	}
	return found
}

func wordsOf(commands []*cli.Command) (found []candidate) {
	for _, command := range commands {
		if !command.Hidden {
			found = append(found, candidate{command.Name, command.Usage})
		}
	}
	return found
}

// containers lists those that hold CPUs, as far as this user may know.
func containers() (found []candidate) {
	policy, err := config.Load()
	if err != nil {
		return nil
	}
	bootID, err := host.System.BootID()
	if err != nil {
		return nil
	}
	ledger, err := shield.Store{Dir: policy.State, BootID: bootID}.Peek()
	if err != nil {
		return nil
	}
	for _, grant := range ledger.Grants {
		found = append(found, candidate{grant.ID, grant.Name + ", CPU " + grant.CPUs.String()})
	}
	return found
}
