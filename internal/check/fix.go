package check

import "fmt"

// Fix does what can be done at run time about what was found, and looks again. What it does holds until the next boot. With dry
// it only says what it would do.
func (j Job) Fix(dry bool) (*Report, error) {
	report, err := j.Look()
	if err != nil {
		return nil, err
	}
	var fixed []string
	for _, finding := range report.Findings {
		switch {
		case finding.fix == nil:
		case dry:
			fixed = append(fixed, "would "+finding.Fix)
		default:
			if err := finding.fix(j.Root); err != nil {
				fixed = append(fixed, fmt.Sprintf("%s: %v", finding.Fix, err))
				continue
			}
			fixed = append(fixed, finding.Fix)
		}
	}
	if len(fixed) > 0 && !dry {
		if report, err = j.Look(); err != nil {
			return nil, err
		}
	}
	report.Fixed = fixed
	return report, nil
}
