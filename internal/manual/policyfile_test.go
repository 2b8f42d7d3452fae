package manual

import (
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/config"
)

func TestTheManPageOfThePolicyFileHasEveryKeyAndAnnotation(t *testing.T) {
	page := PolicyFile("1.2").String()
	for _, s := range Settings() {
		if want := ".B \"" + s.Key + "\"\n" + escape(s.Meaning) + "\n.br\n" + escape("Values: "+s.Values) + "\n.br\n" + escape("Default: "+s.Default) + "\n"; !strings.Contains(page, want) {
			t.Errorf("the page does not say:\n%s", want)
		}
	}
	for _, a := range Annotations() {
		if !strings.Contains(page, ".B \"rtshield.io/"+escape(a.Key)+"\"\n"+escape(a.Values)+"\n") {
			t.Errorf("the page does not tell of annotation %s", a.Key)
		}
	}
	for _, words := range []string{`.SH "[class.NAME]"`, `.TH "RTSHIELD.TOML" "5" "" "rtshield 1.2"`} {
		if !strings.Contains(page, words) {
			t.Errorf("the page has no %s", words)
		}
	}
}

func TestTheExampleOfTheManPageIsAccepted(t *testing.T) {
	if read, err := config.Parse("page", []byte(example)); err != nil || read.Classes["motor"].MaxPriority != 60 {
		t.Errorf("%+v %v", read, err)
	}
}
