package spec

import (
	"testing"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

func TestAMaskedContainerIsToldItsParts(t *testing.T) {
	for _, masked := range []bool{true, false} {
		for _, file := range recorded(t) {
			dir := bundle(t, file)
			grant := testGrant(t, "2-4")
			if masked {
				grant.Mask = "^0"
				grant.Ordinary, _ = shield.ParseCPUs("2")
				grant.ExecCPUs = grant.Ordinary
				grant.House, _ = shield.ParseCPUs("0")
			}
			document := load(t, dir)
			if err := document.Shield(grant, nil, testHook); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"linux.resources.cpu.cpus": `"2-4"`, "process.execCPUAffinity": `{"final":"2","initial":"0,2"}`,
				`process.env.#(%"RTSHIELD_CPUS=*")`: `"RTSHIELD_CPUS=2-4"`, `process.env.#(%"RTSHIELD_RT_CPUS=*")`: `"RTSHIELD_RT_CPUS=3-4"`,
				`process.env.#(%"RTSHIELD_ORDINARY_CPUS=*")`: `"RTSHIELD_ORDINARY_CPUS=2"`, "process.scheduler": "",
			}
			if !masked {
				want = map[string]string{`process.env.#(%"RTSHIELD_RT_CPUS=*")`: "", `process.env.#(%"RTSHIELD_ORDINARY_CPUS=*")`: ""}
			}
			for path, want := range want {
				if got := gjson.GetBytes(document.Bytes(), path).Raw; got != want {
					t.Errorf("%s: %s is %s, want %s", file, path, got, want)
				}
			}
		}
	}
}
