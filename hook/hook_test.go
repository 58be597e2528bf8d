package hook_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/hook"
)

func TestFind(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for name, text := range map[string]string{
		"home/.claude/settings.json":           `{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "bye"}]}]}}`,
		"home/p/.git/HEAD":                     "",
		"home/p/.claude/settings.json":         `{"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}, {"type": "prompt"}]}]}, "model": 5}`,
		"home/p/sub/.claude/settings.json":     `{"hooks": []}`,
		"home/p/sub/.claude/none":              "",
		"home/secret.json":                     `{"hooks": {"Stop": [{"hooks": [{"command": "SECRET"}]}]}}`,
		"home/p/.claude/settings.json.example": "",
	} {
		path := filepath.Join(base, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "home", "secret.json"), filepath.Join(base, "home/p/.claude/settings.local.json")); err != nil {
		t.Fatal(err)
	}
	hooks, problems, err := hook.Find(filepath.Join(base, "home/p/sub"), filepath.Join(base, "home"))
	if err != nil {
		t.Fatal(err)
	}
	want := "[{~/.claude/settings.json Stop  bye} {../.claude/settings.json PreToolUse Bash check} {../.claude/settings.json PreToolUse Bash prompt}]"
	if got := fmt.Sprint(hooks); got != want || len(problems) != 2 {
		t.Errorf("%s, problems %q; want %s", got, problems, want)
	}
}
