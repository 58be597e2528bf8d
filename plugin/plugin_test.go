package plugin_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/plugin"
)

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, link := strings.CutPrefix(content, "->"); link {
			err = errors.Join(err, os.Symlink(target, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// gitIn runs Git in a folder, without settings of the machine.
func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		citest.Missing(t, "git is not installed")
	}
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %s", args, out)
	}
	return strings.TrimSpace(string(out))
}

func store(t testing.TB) (*plugin.Store, string) {
	t.Helper()
	base := t.TempDir()
	project := filepath.Join(base, "project")
	if err := os.Mkdir(project, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := plugin.Open(project, filepath.Join(base, "data"))
	if err != nil {
		t.Fatal(err)
	}
	return s, base
}

var sample = map[string]string{
	".claude-plugin/plugin.json": `{"name": "tools", "description": "d", "version": "1.0.0", "hooks": {"Stop": []}, "agents": "./more/a.md"}`,
	"agents/reviewer.md":         "---\nname: reviewer\ndescription: d\n---\nx",
	"more/a.md":                  "x",
	"skills/s/SKILL.md":          "x",
	"commands/c.md":              "x",
	"hooks/hooks.json":           "{}",
	".mcp.json":                  `{"mcpServers": {"db": {"command": "db"}}}`,
	"link":                       "->agents/reviewer.md",
}

func TestAFolder(t *testing.T) {
	t.Parallel()
	s, base := store(t)
	source := filepath.Join(base, "source")
	write(t, source, sample)
	write(t, source, map[string]string{".git/hooks/post-checkout": "touch ran"})
	write(t, filepath.Join(base, "project"), map[string]string{"main.go": "package main", "." + plugin.LockName + ".tmp": "->main.go"})
	entry, err := s.Add(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(base, "project", "main.go")); string(data) != "package main" || err != nil {
		t.Errorf("a file of the project was changed: %q, %v", data, err)
	}
	plugins, missing, err := s.Load()
	if err != nil || len(plugins) != 1 || len(missing) != 0 {
		t.Fatal(plugins, missing, err)
	}
	p := plugins[0]
	if got := fmt.Sprint(p.Name, p.Agents, p.Skills, p.Commands, p.Hooks, len(p.MCPServers)); got != "tools[agents more/a.md] [skills] [commands] [hooks/hooks.json .claude-plugin/plugin.json] 1" {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, ".git")); err == nil {
		t.Error("the repository was copied")
	}
	// Adding the same again changes nothing.
	if again, err := s.Add(t.Context(), source); err != nil || again != entry {
		t.Error(again, err)
	}

	// Every change of the content is refused.
	for name, change := range map[string]func(dir string) error{
		"a byte": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "skills/s/SKILL.md"), []byte("y"), 0o600)
		},
		"a new file":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "skills/s/new"), nil, 0o600) },
		"a file less": func(dir string) error { return os.Remove(filepath.Join(dir, "commands/c.md")) },
		"permission":  func(dir string) error { return os.Chmod(filepath.Join(dir, "commands/c.md"), 0o755) }, //nolint:gosec // the change
		"a link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("commands/c.md", filepath.Join(dir, "link")))
		},
		"a link that leads out": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("/etc/hosts", filepath.Join(dir, "link")))
		},
	} {
		if err := change(p.Dir); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "plugin tools: ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Add(t.Context(), source); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Load(); err != nil {
			t.Errorf("%s, added again: %v", name, err)
		}
	}

	// Another user, or a copy of the project, does not have it.
	other, err := plugin.Open(filepath.Join(base, "project"), filepath.Join(base, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if plugins, missing, err := other.Load(); err != nil || len(plugins) != 0 || len(missing) != 1 {
		t.Error(plugins, missing, err)
	}
	if err := s.Remove("tools"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.Dir); err == nil {
		t.Error("the content was kept")
	}
	if _, unknown := errors.AsType[*plugin.UnknownError](s.Remove("tools")); !unknown {
		t.Error("removed twice")
	}
}

// TestARepository takes a plugin out of a repository that tries to run something.
func TestARepository(t *testing.T) {
	t.Parallel()
	s, base := store(t)
	repo, ran := filepath.Join(base, "repo"), filepath.Join(base, "ran")
	write(t, repo, sample)
	gitIn(t, repo, "init", "-q", "-b", "main")
	write(t, repo, map[string]string{
		".gitattributes": "* filter=evil\n*.md ident\n", ".gitmodules": "[submodule \"x\"]\npath = x\nurl = ext::touch " + ran + "\n",
		".gitconfig": "[core]\nfsmonitor = touch " + ran + "\n", "hooks/post-checkout": "#!/bin/sh\ntouch " + ran + "\n",
		".lfsconfig": "[lfs]\nurl = file:///nowhere\n", "a.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
	})
	gitIn(t, repo, "add", "-A")
	gitIn(t, repo, "commit", "-qm", "one")
	first := gitIn(t, repo, "rev-parse", "HEAD")
	gitIn(t, repo, "tag", "v1")
	write(t, repo, map[string]string{"skills/s/SKILL.md": "two", ".claude-plugin/marketplace.json": `{"plugins": [{"name": "tools", "source": "./"}, {"name": "inner", "source": "./skills"}, {"name": "out", "source": "../x"}, {"name": "ext", "source": {"source": "url", "url": "ext::sh -c touch"}}]}`})
	gitIn(t, repo, "add", "-A")
	gitIn(t, repo, "commit", "-qm", "two")
	url := "file://" + filepath.ToSlash(repo)
	for _, test := range []struct{ source, name, commit, path, body string }{
		{url, "tools", gitIn(t, repo, "rev-parse", "HEAD"), "", "skills/s/SKILL.md=two"},
		{url + "@v1", "tools", first, "", "skills/s/SKILL.md=x"},
		{url + "@main#inner", "inner", gitIn(t, repo, "rev-parse", "HEAD"), "skills", "s/SKILL.md=two"},
	} {
		entry, err := s.Add(t.Context(), test.source)
		if err != nil {
			t.Fatal(err)
		}
		if entry.Name != test.name || entry.Commit != test.commit || entry.Path != test.path {
			t.Errorf("%s: %+v", test.source, entry)
		}
		name, want, _ := strings.Cut(test.body, "=")
		if data, err := os.ReadFile(filepath.Join(s.Dir(entry), filepath.FromSlash(name))); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", test.source, data, err)
		}
		if err := s.Verify(entry); err != nil {
			t.Error(err)
		}
	}
	for _, source := range []string{url + "#out", url + "#ext", url + "#none", url + "@none"} {
		if entry, err := s.Add(t.Context(), source); err == nil {
			t.Errorf("%s was added: %v", source, entry)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("something of the plugin was run")
	}
	if entries, err := s.List(); err != nil || len(entries) != 2 {
		t.Error(entries, err)
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	t.Parallel()
	s, base := store(t)
	write(t, base, map[string]string{
		"out/agents/a.md": "->../../../secret", "abs/a.md": "->/etc/hosts", "market/.claude-plugin/marketplace.json": `{"plugins": [{"name": "x"}]}`,
		"name/.claude-plugin/plugin.json": `{"name": "../x"}`, "json/.claude-plugin/plugin.json": `{`, "servers/.mcp.json": `[`,
		"large/a.bin": strings.Repeat("x", plugin.MaxFile+1),
	})
	many := map[string]string{}
	for i := range plugin.MaxFiles + 1 {
		many[fmt.Sprintf("many/%d", i)] = ""
	}
	write(t, base, many)
	if err := os.Mkdir(filepath.Join(base, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	sources := []string{
		"ext::sh -c touch", "git://example.com/x", "http://example.com/x", "ftp://example.com/x", "https://user:password@example.com/x", "-u", "--upload-pack=x",
		"ssh://-oProxyCommand=x/y", "https://example.com/x@--upload-pack", "https://example.com/x@a..b", "https://example.com/x#../y", "nowhere", "",
	}
	for _, name := range []string{"out", "abs", "market", "name", "json", "servers", "large", "many", "empty", "market#y"} {
		sources = append(sources, filepath.Join(base, name))
	}
	for _, source := range sources {
		if entry, err := s.Add(t.Context(), source); err == nil {
			t.Errorf("%s was added: %v", source, entry)
		}
	}
	if entries, err := s.List(); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
	for _, text := range []string{"{", `{"version": 2}`, `{"version": 1, "plugins": [{"name": "../../x", "tree": "sha256:00"}]}`, `{"version": 1, "plugins": [{"name": "x", "tree": "../../../../../../../../../../x"}]}`} {
		if err := os.WriteFile(s.LockFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Load(); err == nil {
			t.Errorf("%s was taken for a lock", text)
		}
	}
}
