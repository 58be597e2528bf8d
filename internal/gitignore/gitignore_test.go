package gitignore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/gitignore"
)

// TestLikeGit compares with what git itself ignores.
func TestLikeGit(t *testing.T) {
	t.Parallel()
	patterns := []string{
		"a.txt", "/a.txt", "*.txt", "d", "d/", "/d/", "d/*.txt", "d/**", "**/a.txt", "d/**/a.txt", "**", "*",
		"d/e", "e/", "!a.txt", "#a.txt", `\#a`, `\!b`, "a.txt ", `sp\ `, "[ab].txt", "[!a].txt", "?.txt", "{a,b}.txt",
		"d**", "a**t", "foo/", "", "/", "//a.txt", "d/e/f/", "/*/a.txt", "a.[",
	}
	files := []string{"a.txt", "b.txt", "d/a.txt", "d/e/a.txt", "d/e/f/a.txt", "x/d/a.txt", "#a", "!b", "sp ", "{a,b}.txt", "foo", "dd/x", "e"}
	for _, pattern := range patterns {
		dir := t.TempDir()
		for _, f := range files {
			path := filepath.Join(dir, f)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(pattern+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		cmd := exec.Command("git", "-C", dir, "-c", "core.excludesFile=/dev/null", "check-ignore", "-z", "--stdin")
		cmd.Stdin = strings.NewReader(strings.Join(files, "\x00"))
		out, _ := cmd.Output() // 1 says that none is ignored
		ignored := map[string]bool{}
		for name := range strings.SplitSeq(string(out), "\x00") {
			ignored[name] = true
		}
		p, ok := gitignore.Parse(pattern)
		for _, f := range files {
			if got := ok && !p.Negated && p.MatchBelow(f, false); got != ignored[f] {
				t.Errorf("pattern %q, file %q: ignored %v; git says %v", pattern, f, got, ignored[f])
			}
		}
	}
}
