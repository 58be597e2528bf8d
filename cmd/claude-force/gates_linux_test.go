package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGatesAreAnsweredOnATerminal chooses by a number, fills in a form field by field and
// says no with a reason, each after an answer that is none, which is asked again.
func TestGatesAreAnsweredOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const gates = `
steps:
  - {id: where, approval: {message: Where to?, choices: [staging, production]}}
  - id: form
    dependencies: [where]
    approval:
      message: Details?
      schema: {type: object, required: [version], properties: {version: {type: string}, urgent: {type: boolean}}}
  - id: text
    dependencies: [form]
    approval: {message: A note?, schema: {type: string, minLength: 3}}
  - {id: last, dependencies: [text], on_failure: continue, approval: {message: Announce it?, choices: ["2", "1"]}}
  - {id: sure, dependencies: [text], on_failure: continue, approval: Sure?}
output: "to ${{ steps.where.output }}, ${{ steps.form.json.version }}, ${{ steps.form.json.urgent }}, ${{ steps.text.output }}, ${{ steps.last.reason }}, ${{ steps.sure.reason }}"
`
	if err := os.WriteFile(filepath.Join(dir, "gates.yaml"), []byte(gates), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAsking(t, dir, "strict: true\nrules: [{text: none}]", "run", "gates.yaml")
	say := func(prompt, line string) string {
		shown := a.until(prompt)
		fmt.Fprintln(a.user, line)
		return shown
	}
	const number, note = "[a number or /no REASON] ", "or /no REASON] "
	if shown := say(number, "3"); !strings.Contains(shown, "  1  staging") || !strings.Contains(shown, "  2  production") {
		t.Errorf("the choices are shown as %q", shown)
	}
	if shown := say(number, "2"); !strings.Contains(shown, "staging") {
		t.Errorf("a wrong choice is answered by %q", shown)
	}
	say("or /no REASON] ", "")
	say("version (string): ", "1.2")
	say("urgent (boolean): ", "maybe")
	if shown := say(note, ""); !strings.Contains(shown, "urgent") {
		t.Errorf("a wrong field is answered by %q", shown)
	}
	say("version (string): ", "1.10")
	say("urgent (boolean): ", "true")
	say(note, "x")
	say(note, "all is well")
	answered := map[string]bool{}
	for range 2 { // they ask in any order
		if shown := a.until("REASON] ", "[y/N] "); strings.HasSuffix(shown, "[y/N] ") {
			fmt.Fprintln(a.user, "no not yet")
			answered["sure"] = true
		} else {
			fmt.Fprintln(a.user, "/no too early")
			answered["last"] = true
		}
	}
	if screen := a.end(); len(answered) != 2 || !strings.Contains(screen, "to production, 1.10, true, all is well, too early, not yet\r\n") || !a.cmd.ProcessState.Success() {
		t.Errorf("%v, %v\n%s", answered, a.cmd.ProcessState, screen)
	}
}
