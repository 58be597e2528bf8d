package memory_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/memory"
)

// write makes files below dir; a content that starts with -> is a link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(content, "->"); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func paths(m *memory.Memory) string {
	var list []string
	for _, f := range m.Files {
		list = append(list, f.Path)
	}
	return strings.Join(list, " ")
}

func TestLoad(t *testing.T) {
	t.Parallel()
	secret := "secret-of-the-user"
	tests := []struct {
		name     string
		project  map[string]string
		home     map[string]string
		dir      string // of the project
		denied   string
		want     string // paths
		problems int
	}{
		{name: "nothing"},
		{
			name: "order",
			project: map[string]string{
				"CLAUDE.md": "main @one.md\n@two.md", "one.md": "one @deep/three.md", "two.md": "two", "deep/three.md": "three",
				".claude/CLAUDE.md": "inner", ".claude/rules/b.md": "b", ".claude/rules/a/a.md": "a", "CLAUDE.local.md": "local", "AGENTS.md": "agents",
			},
			home: map[string]string{".claude/CLAUDE.md": "user @own.md", ".claude/own.md": "own"},
			want: "~/.claude/CLAUDE.md ~/.claude/own.md CLAUDE.md one.md deep/three.md two.md .claude/CLAUDE.md .claude/rules/a/a.md .claude/rules/b.md CLAUDE.local.md",
		},
		{name: "AGENTS.md alone", project: map[string]string{"AGENTS.md": "agents @a.md", "a.md": "a"}, want: "AGENTS.md a.md"},
		{
			name:    "folders above",
			project: map[string]string{"CLAUDE.md": "top", "sub/x/CLAUDE.md": "here @../../CLAUDE.md @../y.md", "sub/y.md": "y", "sub/AGENTS.md": "agents"},
			dir:     "sub/x", want: "../../CLAUDE.md ../AGENTS.md CLAUDE.md ../y.md",
		},
		{
			name: "four levels",
			project: map[string]string{
				"CLAUDE.md": "@1.md", "1.md": "x @2.md", "2.md": "x @3.md", "3.md": "x @4.md", "4.md": "x @5.md", "5.md": "x",
			},
			want: "CLAUDE.md 1.md 2.md 3.md 4.md",
		},
		{name: "once, in a circle", project: map[string]string{"CLAUDE.md": "@a.md @a.md @./a.md", "a.md": "@CLAUDE.md @a.md"}, want: "CLAUDE.md a.md"},
		{
			name:    "not in code",
			project: map[string]string{"CLAUDE.md": "`@a.md` and ``x ` @a.md``\n```sh\n@a.md\n```\n~~~\n@a.md\n", "a.md": "a"}, want: "CLAUDE.md",
		},
		{name: "with a dot", project: map[string]string{"CLAUDE.md": "see @a.md.", "a.md": "a"}, want: "CLAUDE.md"},
		{name: "an address is no import", project: map[string]string{"CLAUDE.md": "me@a.md", "a.md": "a"}, want: "CLAUDE.md"},
		{name: "a folder, a binary, nothing", project: map[string]string{"CLAUDE.md": "@d @b @none", "d/x": "x", "b": "\x00"}, want: "CLAUDE.md"},
		{name: "in a comment", project: map[string]string{"CLAUDE.md": "a <!-- @a.md --> b", "a.md": "a"}, want: "CLAUDE.md"},
		{
			name:    "outside",
			project: map[string]string{"CLAUDE.md": "x @~/.claude/key @/etc/hosts @../outside.md @$HOME/.claude/key"},
			home:    map[string]string{".claude/key": secret}, want: "CLAUDE.md",
		},
		{name: "a link that leads out", project: map[string]string{"CLAUDE.md": "->$HOME/.claude/key", "AGENTS.md": "x"}, home: map[string]string{".claude/key": secret}, want: "AGENTS.md", problems: 1},
		{name: "an import by a link that leads out", project: map[string]string{"CLAUDE.md": "x @l.md", "l.md": "->$HOME/.claude/key"}, home: map[string]string{".claude/key": secret}, want: "CLAUDE.md"},
		{name: "a folder that is a link", project: map[string]string{"CLAUDE.md": "x @l/key", "l": "->$HOME/.claude"}, home: map[string]string{".claude/key": secret}, want: "CLAUDE.md"},
		{name: "a link inside", project: map[string]string{"CLAUDE.md": "->AGENTS.md", "AGENTS.md": "x"}, want: "CLAUDE.md"},
		{name: "denied", project: map[string]string{"CLAUDE.md": "x @.env @l", ".env": secret, "l": "->.env"}, denied: ".env", want: "CLAUDE.md"},
		{name: "too large", project: map[string]string{"CLAUDE.md": strings.Repeat("x", memory.MaxFile+1)}, problems: 1},
		{name: "rules for some files", project: map[string]string{".claude/rules/go.md": "---\npaths: \"**/*.go\"\n---\nx"}},
		{name: "a rule that is no YAML", project: map[string]string{".claude/rules/go.md": "---\na: \"x\n  b: [\n---\nx"}, want: ".claude/rules/go.md", problems: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			top, home := filepath.Join(base, "p"), filepath.Join(base, "home")
			for _, dir := range []string{top, home} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, base, map[string]string{"p/.git/HEAD": "", "outside.md": secret})
			for name, content := range test.project {
				test.project[name] = strings.ReplaceAll(content, "$HOME", home)
			}
			write(t, top, test.project)
			write(t, home, test.home)
			m, err := memory.Load(memory.Options{Dir: filepath.Join(top, filepath.FromSlash(test.dir)), Home: home, Denied: func(path string) bool {
				return test.denied != "" && filepath.Base(path) == test.denied
			}})
			if err != nil {
				t.Fatal(err)
			}
			if got := paths(m); got != test.want {
				t.Errorf("files %s, want %s", got, test.want)
			}
			if len(m.Problems) != test.problems {
				t.Errorf("problems %q, want %d", m.Problems, test.problems)
			}
			if strings.Contains(m.Text(), secret) {
				t.Error("the memory has a file from outside")
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"CLAUDE.md": "\ufeff# Rules\r\n<!-- a\nnote -->\nUse tabs.<!-- x --> Always.\n```\n<!-- kept -->\n```\n<!-- open\n"})
	m, err := memory.Load(memory.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := "Contents of CLAUDE.md (the project's instructions):\n\n# Rules\nUse tabs. Always.\n```\n<!-- kept -->\n```\n<!-- open\n"
	if got := m.Text(); !strings.Contains(got, want) {
		t.Errorf("text:\n%s", got)
	}
}

// TestTotal loads more than fits.
func TestTotal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{}
	main := ""
	for i := range 10 {
		name := fmt.Sprintf("%d.md", i)
		main += "@" + name + "\n"
		files[name] = strings.Repeat("x", memory.MaxFile/2)
	}
	files["CLAUDE.md"] = main
	write(t, dir, files)
	m, err := memory.Load(memory.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(m.Text()); got > memory.MaxTotal+4096 || len(m.Files) != 4 || len(m.Problems) != 1 {
		t.Errorf("%d bytes, %d files, problems %q", got, len(m.Files), m.Problems)
	}
}

func TestNested(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"CLAUDE.md": "top", "d/CLAUDE.md": "nested @more.md", "d/more.md": "more", "d/e/x.txt": "x", "d/e/AGENTS.md": "inner",
		".claude/rules/go.md": "---\npaths: [\"src/**/*.{go,mod}\"]\n---\nfor Go", "src/a/b.go": "x",
	})
	options := memory.Options{Dir: dir}
	m, err := memory.Load(options)
	if err != nil {
		t.Fatal(err)
	}
	n := m.Nested(options)
	for _, test := range []struct {
		file string
		want []string
	}{
		{"x.txt", nil},
		{"CLAUDE.md", nil},
		{"d/e/x.txt", []string{"d/CLAUDE.md", "d/more.md", "d/e/AGENTS.md"}},
		{"d/e/y.txt", nil},
		{"src/a/b.txt", nil},
		{"src/a/b.go", []string{".claude/rules/go.md"}},
		{"src/a/c.go", nil},
		{"../x", nil},
	} {
		got, files := n.For(filepath.Join(dir, filepath.FromSlash(test.file)))
		if strings.Count(got, "Contents of ") != len(test.want) || len(files) != len(test.want) {
			t.Errorf("%s: %q", test.file, got)
		}
		for _, want := range test.want {
			if !strings.Contains(got, "Contents of "+want+" (") {
				t.Errorf("%s: no %s in %q", test.file, want, got)
			}
		}
	}
}

// TestImportsProperty builds trees of files that import each other, inside the
// project and out of it, and checks what was read.
func TestImportsProperty(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n), "p")
		names := []string{"CLAUDE.md", "a.md", "d/b.md", "d/e/c.md", "f.md"}
		targets := append(slices.Clone(names), "../a.md", "../../a.md", "./f.md", "../b.md", "/etc/hosts", "~/x", "../../../secret", "e/c.md", dir+"/f.md", "..", "", ".")
		files := map[string]string{"../secret": "SECRET", "../../secret": "SECRET"}
		for _, name := range names {
			text := "T" + name
			for _, target := range rapid.SliceOfN(rapid.SampledFrom(targets), 0, 4).Draw(rt, name) {
				form := rapid.SampledFrom([]string{" @T ", "\n@T\n", " `@T` ", " <!-- @T --> ", "x@T"}).Draw(rt, "form")
				text += strings.ReplaceAll(form, "T", target)
			}
			files[name] = text
		}
		write(t, dir, files)
		m, err := memory.Load(memory.Options{Dir: dir, Home: filepath.Join(base, "none")})
		if err != nil {
			rt.Fatal(err)
		}
		seen := map[string]bool{}
		for _, f := range m.Files {
			if seen[f.Path] || !slices.Contains(names, f.Path) {
				rt.Fatalf("%s was read twice, or is none of the project's: %v", f.Path, m.Files)
			}
			seen[f.Path] = true
			if strings.Contains(f.Text, "<!--") || strings.Contains(f.Text, "SECRET") {
				rt.Fatalf("%s: %q", f.Path, f.Text)
			}
		}
		if m.Files[0].Path != "CLAUDE.md" || len(m.Problems) > 0 {
			rt.Fatalf("%v", m)
		}
	})
}
