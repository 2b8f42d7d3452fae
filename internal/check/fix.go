package check

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/host"
)

// Fix does what can be done at run time about what was found, and looks again. What it does holds until the next boot. With dry
// it only says what it would do.
func (j Job) Fix(dry bool) (*Report, error) {
	report, err := j.Look()
	if err != nil {
		return nil, err
	}
	fixed, unfixed := mend(j.Root, report.Findings, dry)
	if len(fixed) > 0 && !dry {
		if report, err = j.Look(); err != nil {
			return nil, err
		}
	}
	report.Fixed, report.Unfixed = fixed, unfixed
	return report, nil
}

func mend(root host.Root, findings []Finding, dry bool) (fixed, unfixed []string) {
	for _, finding := range findings {
		switch {
		case finding.fix == nil:
		case dry:
			fixed = append(fixed, "would "+finding.Fix)
		default:
			if err := finding.fix(root); err != nil {
				unfixed = append(unfixed, fmt.Sprintf("%s: %v", finding.Fix, err))
				continue
			}
			fixed = append(fixed, finding.Fix)
		}
	}
	return fixed, unfixed
}
