package permission_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/tool/permission"
)

// goldenCase is a call and whether it must be allowed.
type goldenCase struct {
	ID    string          `json:"id"`
	Tool  string          `json:"tool"`
	Input json.RawMessage `json:"input"`
	Setup struct {
		Files   map[string]string `json:"files"`
		Trusted bool              `json:"trusted"`
	} `json:"setup"`
	Mode        string   `json:"mode"`
	Args        []string `json:"args"`
	IsError     *bool    `json:"is_error"`
	MustContain []string `json:"must_contain"`
}

// fails are the cases whose call is allowed, runs and fails.
var fails = map[string]bool{
	"perm.bash_allow.prefix_noargs": true, // touch without a file
	"perm.bash_default.git_status":  true, // outside a repository
	"perm.bash_default.git_log":     true,
	"perm.bash_default.jq":          true, // the file is no JSON
	"perm.allow_npm.00":             true, // without a package.json
	"perm.acceptEdits_bash.00":      true, // rm of a file that does not exist
	"perm.webfetch.domain_allow":    true, // without a network
}

// unhandled are the cases that are decided otherwise, and why.
var unhandled = map[string]string{
	"perm.skill_with_allowed_tools": "the policy knows nothing of skills' files",
	"perm.disableBypass":            "settings of a project are read elsewhere",
}

func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/golden/permission.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c goldenCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			cwd, home, outside := filepath.Join(base, "work"), filepath.Join(base, "home"), filepath.Join(base, "outside")
			for _, dir := range []string{cwd, home} {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for name, content := range c.Setup.Files {
				path := filepath.Join(cwd, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			replace := strings.NewReplacer("$CWD", cwd, "$OUTSIDE", outside, `"$HOME/x.txt"`, `"`+home+`/x.txt"`)
			policy := policyOf(t, c, cwd, home, replace)
			got := policy.Check(c.Tool, json.RawMessage(replace.Replace(string(c.Input))), cwd)
			want := c.IsError == nil || !*c.IsError || fails[c.ID]
			problem := ""
			switch {
			case want != (got.Outcome == permission.Allow):
				problem = "allowed: " + map[bool]string{true: "true", false: "false"}[got.Outcome == permission.Allow] + " " + got.Reason
			case !want:
				for _, part := range c.MustContain {
					if !strings.Contains(got.Reason, replace.Replace(part)) {
						problem = "the reason does not contain " + part + ": " + got.Reason
					}
				}
			}
			reason, listed := unhandled[c.ID]
			switch {
			case listed && problem == "":
				t.Errorf("passes, and is listed as unhandled: %s", reason)
			case !listed && problem != "":
				t.Errorf("%s %s: %s", c.Tool, c.Input, problem)
			}
		})
	}
}

// policyOf returns the policy of a case.
func policyOf(t *testing.T, c goldenCase, cwd, home string, replace *strings.Replacer) *permission.Policy {
	t.Helper()
	p := &permission.Policy{Dir: cwd, Home: home}
	var settings struct {
		Permissions struct {
			Allow, Deny, Ask      []string
			AdditionalDirectories []string
			DefaultMode           string
		}
	}
	if text, ok := c.Setup.Files[".claude/settings.json"]; ok {
		if err := json.Unmarshal([]byte(replace.Replace(text)), &settings); err != nil {
			t.Fatal(err)
		}
	}
	rules := func(list []string) []permission.Rule {
		var rules []permission.Rule
		for _, text := range list {
			r, err := permission.ParseRule(text)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, r)
		}
		return rules
	}
	p.Deny, p.Ask = rules(settings.Permissions.Deny), rules(settings.Permissions.Ask)
	if c.Setup.Trusted {
		p.Allow = rules(settings.Permissions.Allow)
	}
	p.Extra = settings.Permissions.AdditionalDirectories
	mode := settings.Permissions.DefaultMode
	if c.Mode == "bypass" {
		mode = "bypassPermissions"
	}
	for i, arg := range c.Args {
		switch arg {
		case "--permission-mode":
			mode = c.Args[i+1]
		case "--dangerously-skip-permissions":
			mode = "bypassPermissions"
		case "--add-dir":
			p.Extra = append(p.Extra, c.Args[i+1])
		case "--allowedTools", "--disallowedTools":
			list, err := permission.ParseRules(c.Args[i+1])
			if err != nil {
				t.Fatal(err)
			}
			if arg == "--allowedTools" {
				p.Allow = append(p.Allow, list...)
			} else {
				p.Deny = append(p.Deny, list...)
			}
		}
	}
	var err error
	if p.Mode, err = permission.ParseMode(mode); err != nil {
		t.Fatal(err)
	}
	return p
}
