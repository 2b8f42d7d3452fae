package engine

import (
	"encoding/json"
	"fmt"
)

// record is what install has done for one configuration file. It stands beside it, written before anything is changed, and
// goes with uninstall.
type record struct {
	// File is the one that was edited, or made; Backup holds what it was.
	File    string `json:"file"`
	Existed bool   `json:"existed"`
	Backup  string `json:"backup,omitempty"`
	// Before and After are sums of its text.
	Before string `json:"before,omitempty"`
	After  string `json:"after"`
	// Was is the text of what the entries were put into, where that was empty.
	Was string `json:"was,omitempty"`
	// Runtimes are the entries that were put in.
	Runtimes []Runtime `json:"runtimes"`
	// Links and Dirs were made.
	Links []string `json:"links,omitempty"`
	Dirs  []string `json:"dirs,omitempty"`
}

func recordPath(config string) string { return config + ".rtshield" }
func backupPath(path string) string   { return path + ".before-rtshield" }

// readRecord gives nil where install has done nothing.
func readRecord(config string) (*record, error) {
	f, err := load(recordPath(config))
	if err != nil || !f.exists {
		return nil, err
	}
	var r record
	if err := json.Unmarshal([]byte(f.text), &r); err != nil || r.File == "" {
		return nil, fmt.Errorf("%s is not what install wrote: remove it, and what install put into %s", recordPath(config), config)
	}
	return &r, nil
}

func (r *record) text() string {
	text, _ := json.MarshalIndent(r, "", "  ") // strings and booleans
	return string(text) + "\n"
}

func (r *record) names() (names []string) {
	for _, runtime := range r.Runtimes {
		names = append(names, runtime.Name)
	}
	return names
}
