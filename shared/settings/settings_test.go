package settings

import (
	"strings"
	"testing"
)

func TestOneDocument(t *testing.T) {
	for text, says := range map[string]string{
		"":                             "",
		"# nothing\n":                  "",
		"a: 1\n":                       "",
		"---\na: 1\n":                  "",
		"---\na: 1\n---\n":             "",
		"a: 1\n...\n":                  "",
		"a: 1\n...\nb: 2\n":            "line 2",
		"a: |\n  ---\n":                "",
		"a: {":                         "", // the decoder says so
		"a: 1\n---\nb: 2\n":            "line 2",
		"---\na: 1\n\n---\nb: 2\n":     "line 4",
		"# c\n---\na: 1\n---\nb: 2\n":  "line 4",
		"a: 1\n---\n# c\n---\nc: {}\n": "line 4",
	} {
		err := OneDocument([]byte(text))
		if (err != nil) != (says != "") || err != nil && !strings.HasPrefix(err.Error(), says+":") {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

type some struct {
	Name   string `env:"NAME"`
	Secret string `env:"SECRET,unset"`
	Other  string
	Listen struct {
		Push string `env:"PUSH"`
		API  string `env:"API"`
	} `envPrefix:"LISTEN_"`
}

func TestEnvironment(t *testing.T) {
	for _, v := range []string{
		"WARREN_THING_NAME", "WARREN_THING_SECRET", "WARREN_THING_LISTEN_API", "WARREN_OTHER_NMAE",
		"WARREN_THING_SERVICE_HOST", "WARREN_THING_SERVICE_PORT", "WARREN_THING_SERVICE_PORT_HTTPS", "WARREN_THING_PORT", "WARREN_THING_PORT_8443_TCP", "WARREN_THING_PORT_8443_TCP_ADDR",
	} {
		t.Setenv(v, "1")
	}
	if err := Environment("WARREN_THING_", &some{}); err != nil {
		t.Error(err)
	}
	for name, near := range map[string]string{"NMAE": "NAME", "LISTEN_PUHS": "LISTEN_PUSH", "LISTENAPI": "LISTEN_API", "OTHER": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("WARREN_THING_"+name, "secret value")
			err := Environment("WARREN_THING_", &some{})
			if err == nil || !strings.Contains(err.Error(), "WARREN_THING_"+name+",") || !strings.Contains(err.Error(), "WARREN_THING_"+near) || strings.Contains(err.Error(), "secret value") {
				t.Errorf("%v; want %s", err, near)
			}
		})
	}
}
