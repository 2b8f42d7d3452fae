// Package differential plays the same lives of containers with plain runc, with rtshield in front of the same runc, and
// with rtshield giving a shield, and compares all that an engine or a container could see. What may differ is in
// docs/differences.md.
package differential
