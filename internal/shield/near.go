package shield

import (
	"fmt"
	"regexp"
	"strings"
)

// Near is what a container wants its CPUs to be next to. The zero value is nothing.
type Near struct {
	// Kind is netdev, pci or irq-claim.
	Kind string
	// Name is the device's, such as eth1 or 0000:3b:00.0.
	Name string
}

// The kinds of Near.
const (
	NearNetdev = "netdev"
	NearPCI    = "pci"
	NearClaim  = "irq-claim"
)

// Device names become paths below /sys: dev_valid_name of the kernel forbids slashes, "." and "..", at most 15 letters.
var (
	netdevName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$`)
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
)

// ParseNear reads "netdev eth1", "pci 0000:3b:00.0" or "irq-claim". Empty is nothing.
func ParseNear(text string) (Near, error) {
	kind, name, _ := strings.Cut(strings.TrimSpace(text), " ")
	near := Near{kind, strings.TrimSpace(name)}
	switch {
	case near == Near{}, near == Near{Kind: NearClaim}:
		return near, nil
	case kind == NearNetdev && netdevName.MatchString(near.Name):
		return near, nil
	case kind == NearPCI:
		if near.Name = strings.ToLower(near.Name); strings.Count(near.Name, ":") == 1 {
			near.Name = "0000:" + near.Name // as lspci prints it
		}
		if pciAddress.MatchString(near.Name) {
			return near, nil
		}
	}
	return Near{}, fmt.Errorf(`%q: expected "netdev eth1", "pci 0000:3b:00.0" or "irq-claim"`, text)
}

// String gives the form that ParseNear reads.
func (n Near) String() string { return strings.TrimSpace(n.Kind + " " + n.Name) }

func chooseNear(terms *Terms, request Request) error {
	terms.Near = terms.Class.Near
	choice, asked := request.Choices[KeyNear]
	if asked {
		near, err := ParseNear(choice.Value)
		if err != nil {
			return fmt.Errorf("annotation %s = %w", choice.Source, err)
		}
		terms.Near = near
	}
	if terms.Near.Kind == NearClaim && len(terms.Claim) == 0 {
		if asked {
			return fmt.Errorf("annotation %s = %q, and the container claims no interrupt: add %s/%s, or name a device", choice.Source, choice.Value, Domain, KeyIRQClaim)
		}
		terms.Near = Near{} // a class may say it for those of its containers that claim
	}
	return nil
}

// Claims says whether an interrupt with these names is one that the request claims and its class allows.
func (t Terms) Claims(names []string) bool {
	return Grant{Claim: t.Claim, Claimable: t.Class.IRQClaim}.claims(names)
}
