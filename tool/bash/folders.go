package bash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
)

// folders is where a shell keeps its files: a folder with one below for each use.
type folders string

func (f folders) temp() string     { return filepath.Join(string(f), "tmp") }
func (f folders) home() string     { return filepath.Join(string(f), "home") }
func (f folders) tasks() string    { return filepath.Join(string(f), "tasks") }
func (f folders) snapshot() string { return filepath.Join(string(f), "snapshot", "functions.sh") }

// prepare makes the shell's folders, before the first command.
func (s *Shell) prepare(ctx context.Context, env *tool.Env) error {
	if s.options.Hidden != nil {
		hidden, err := s.options.Hidden(ctx)
		if err != nil {
			return err
		}
		s.options.Policy.Hide = slices.Concat(s.options.Policy.Hide, hidden)
	}
	made, err := tempfolder.New("shell")
	if err != nil {
		return err
	}
	s.made = made
	base, err := filepath.EvalSymlinks(made.Path())
	if err != nil {
		return err
	}
	s.folders = folders(base)
	for _, dir := range []string{s.folders.temp(), s.folders.home(), s.folders.tasks(), filepath.Dir(s.folders.snapshot())} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{s.folders.temp(), s.folders.tasks()} {
		if err := env.Grant(dir); err != nil {
			return err
		}
	}
	if s.options.Policy.Off {
		s.warn("Commands run without isolation: they can read and change whatever the user can.")
	} else if report := sandbox.Probe(); len(report.Missing()) == 0 && !report.Namespaces() {
		s.warn("This system has no namespaces for commands: they can change the hooks and settings of a repository they work in, and see the names of files elsewhere.")
	}
	if err := s.identify(env); err != nil {
		return err
	}
	return s.takeSnapshot(ctx, env)
}

func (s *Shell) warn(text string) {
	if s.options.Warn != nil {
		s.options.Warn(text)
	}
}

// working returns the folders that commands work in: those of the environment
// but the root and the shell's own.
func (s *Shell) working(env *tool.Env) []string {
	return slices.DeleteFunc(env.Granted(), func(dir string) bool {
		return dir == "/" || within(dir, string(s.folders))
	})
}

// shared are folders of the user's home folder that hold programs and no
// secrets.
var shared = []string{
	"go/bin", "go/pkg/mod", ".cargo/bin", ".cargo/registry", ".rustup", ".nvm/versions", ".pyenv", ".rbenv", ".asdf", ".sdkman",
	".local/bin", ".local/lib", ".local/share/mise", ".bun/bin", ".deno/bin", ".dotnet", ".volta",
}

// policy returns what a command may do.
func (s *Shell) policy(env *tool.Env) (sandbox.Policy, error) {
	p := s.options.Policy
	if p.Off {
		return p, nil
	}
	namespaces := sandbox.Probe().Namespaces()
	p.Write, p.Read, p.ReadOnly = slices.Clone(p.Write), slices.Clone(p.Read), slices.Clone(p.ReadOnly)
	home := env.Home()
	for _, dir := range s.working(env) {
		p.Write = append(p.Write, dir)
		git, err := repository(dir)
		if err != nil {
			return p, err
		}
		if git != "" {
			p.Write = append(p.Write, git)
		} else {
			git = filepath.Join(dir, ".git")
		}
		if namespaces {
			p.ReadOnly = append(p.ReadOnly, protected(dir, git)...)
		}
		if namespaces && s.options.Narrow && git != filepath.Join(dir, ".git") {
			p.ReadOnly = append(p.ReadOnly, others(git)...)
		}
	}
	p.Read = append(p.Read, filepath.Dir(s.folders.snapshot()))
	p.Read = append(p.Read, env.GrantedToRead()...)
	if home != "" {
		for _, dir := range shared {
			p.Read = append(p.Read, filepath.Join(home, dir))
		}
	}
	p.Read = append(p.Read, programs(os.Getenv("PATH"), home)...)
	if !namespaces {
		p.Write = append(p.Write, s.folders.temp(), s.folders.home())
		return p, nil
	}
	p.Temp = s.folders.temp()
	p.Binds = append(slices.Clone(p.Binds), sandbox.Bind{From: s.folders.home(), At: s.home(env)})
	if s.options.Cache != "" {
		if err := os.MkdirAll(s.options.Cache, 0o700); err != nil {
			return p, err
		}
		p.Binds = append(p.Binds, sandbox.Bind{From: s.options.Cache, At: filepath.Join(s.home(env), ".cache")})
	}
	return p, nil
}

// besides are the folders beside a folder of programs that the programs need.
var besides = []string{"lib", "lib64", "libexec", "include", "pkg", "src", "versions", "plugins"}

// programs returns the folders that the programs of a PATH need. A PATH that has
// the home folder in it, or one above, does not grant that.
func programs(path, home string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		if dir = filepath.Clean(dir); !filepath.IsAbs(dir) || dir == "/" || home != "" && within(home, dir) {
			continue
		}
		dirs = append(dirs, dir)
		if parent, name := filepath.Split(dir); (name == "bin" || name == "shims") && filepath.Clean(parent) != home {
			for _, beside := range besides {
				dirs = append(dirs, filepath.Join(parent, beside))
			}
		}
		for _, name := range shared {
			if i := strings.Index(dir, "/"+name+"/"); i >= 0 {
				dirs = append(dirs, dir[:i+1+len(name)])
			}
		}
	}
	return dirs
}

// home returns the path that commands see as their home folder.
func (s *Shell) home(env *tool.Env) string {
	home := env.Home()
	switch {
	case s.options.Policy.Off:
		return home
	case home == "" || home == "/" || !sandbox.Probe().Namespaces():
		return s.folders.home()
	case slices.ContainsFunc(s.working(env), func(dir string) bool { return within(home, dir) }):
		return s.folders.home() // the project has the home folder in it
	}
	return home
}

// environ returns the environment of a command.
func (s *Shell) environ(env *tool.Env) []string {
	set := []string{"SHELL=" + shellPath, "CLAUDECODE=1", "GIT_EDITOR=true", "GIT_DISCOVERY_ACROSS_FILESYSTEM=1", "TMPDIR=" + s.folders.temp()}
	if home := s.home(env); home != "" {
		set = append(set, "HOME="+home)
	}
	return sandbox.Environ(s.options.Pass, append(set, s.options.Set...)...)
}

// protected returns what commands may not change in a working folder whose
// repository is git: what would be run, outside, by the next who works there.
func protected(dir, git string) []string {
	list := []string{
		filepath.Join(dir, ".claude"), filepath.Join(dir, ".mcp.json"), filepath.Join(dir, ".envrc"),
		filepath.Join(dir, ".vscode"), filepath.Join(dir, ".idea"), filepath.Join(dir, ".husky"),
		filepath.Join(git, "hooks"), filepath.Join(git, "config"), filepath.Join(git, "config.worktree"),
	}
	for _, pattern := range []string{
		"worktrees/*/commondir", "worktrees/*/config.worktree", "worktrees/*/gitdir",
		"modules/*/hooks", "modules/*/config", "modules/*/*/hooks", "modules/*/*/config",
	} {
		// The only error is for a bad pattern.
		found, _ := filepath.Glob(filepath.Join(escapeGlob(git), pattern))
		list = append(list, found...)
	}
	if git != filepath.Join(dir, ".git") {
		list = append(list, filepath.Join(dir, ".git")) // the file that names the repository
	}
	return list
}

// others returns what in a repository is not of its worktrees on branches of
// claude-force.
func others(git string) []string {
	var list []string
	for _, name := range []string{"HEAD", "ORIG_HEAD", "index", "info", "packed-refs", "logs/HEAD", "refs/tags", "refs/remotes", "refs/stash"} {
		list = append(list, filepath.Join(git, filepath.FromSlash(name)))
	}
	// The only error is for a bad pattern.
	heads, _ := filepath.Glob(filepath.Join(escapeGlob(git), "refs", "heads", "*"))
	for _, head := range heads {
		if filepath.Base(head) != "claude-force" {
			list = append(list, head)
		}
	}
	return list
}

// escapeGlob returns a pattern that matches a path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// Sizes up to which files are read.
const (
	maxGitFile  = 8 << 10 // that name a folder
	maxUserFile = 1 << 20 // of the user's settings
)

// repository returns the folder of the repository of which dir is a worktree, or
// "" if it is none. A file .git that names a folder which does not name it in
// return is no worktree.
func repository(dir string) (string, error) {
	file := filepath.Join(dir, ".git")
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxGitFile {
		return "", nil //nolint:nilerr // not a worktree
	}
	text, err := openfile.Read(file, maxGitFile)
	if err != nil {
		return "", fmt.Errorf("reading the worktree: %w", err)
	}
	own, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return "", nil
	}
	if !filepath.IsAbs(own) {
		own = filepath.Join(dir, own)
	}
	back, err := openfile.Read(filepath.Join(own, "gitdir"), maxGitFile)
	if err != nil {
		return "", nil //nolint:nilerr // not a worktree
	}
	named := strings.TrimSpace(string(back))
	if !filepath.IsAbs(named) {
		named = filepath.Join(own, named)
	}
	if !same(named, file) {
		return "", nil
	}
	// What the files in it say of the repository does not count: commands could
	// have written them.
	if own, err = filepath.EvalSymlinks(own); err != nil || filepath.Base(filepath.Dir(own)) != "worktrees" {
		return "", nil //nolint:nilerr // not a worktree
	}
	return filepath.Dir(filepath.Dir(own)), nil
}

// same reports whether two paths are one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// identify gives commands the user's name for commits, and nothing else of the
// user's settings, which may hold secrets.
func (s *Shell) identify(env *tool.Env) error {
	if s.options.Policy.Off || env.Home() == "" {
		return nil
	}
	data, err := openfile.Read(filepath.Join(env.Home(), ".gitconfig"), maxUserFile)
	if err != nil {
		return nil //nolint:nilerr // no settings
	}
	var b strings.Builder
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.ReplaceAll(line, " ", ""))
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if ok && section == "[user]" && (key == "name" || key == "email") {
			fmt.Fprintf(&b, "\t%s = %s\n", key, strings.TrimSpace(value))
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(s.folders.home(), ".gitconfig"), []byte("[user]\n"+b.String()), 0o600)
}

// snapshotTime is how long the user's start file may take.
const snapshotTime = 10 * time.Second

// takeSnapshot stores the functions, aliases and exported variables that the
// user's start file makes. The file runs isolated as commands do; variables that
// look like secrets are left out.
func (s *Shell) takeSnapshot(ctx context.Context, env *tool.Env) error {
	if env.Home() == "" {
		return nil
	}
	file := filepath.Join(env.Home(), ".bashrc")
	text, err := openfile.Read(file, maxUserFile)
	if err != nil || len(text) == 0 {
		return nil //nolint:nilerr // no start file
	}
	policy, err := s.policy(env)
	if err != nil {
		return err
	}
	// A copy, since the home folder of commands is another.
	start := filepath.Join(filepath.Dir(s.folders.snapshot()), "bashrc")
	if err := os.WriteFile(start, text, 0o600); err != nil {
		return err
	}
	policy.Limits.Time, policy.Limits.Output = snapshotTime, 1<<20
	before := s.environ(env)
	const mark = "\x01\x02 snapshot \x02\x01"
	var out bytes.Buffer
	r, err := sandbox.Run(ctx, policy, sandbox.Command{
		Args: []string{shellPath, "-c", ". " + quote(start) + " </dev/null >/dev/null 2>&1\n" +
			"printf %s " + quote(mark) + "; declare -f; printf %s " + quote(mark) + "; alias -p; printf %s " + quote(mark) + "; env -0"},
		Dir: env.Dir(), Env: before, Output: &out,
	})
	if err != nil {
		return explain(err, env.Dir())
	}
	if r.Cause != "" || r.ExitCode != 0 {
		s.warn(fmt.Sprintf("%s failed, so commands have none of its functions and aliases.", file))
		return nil
	}
	parts := strings.Split(out.String(), mark)
	if len(parts) != 4 {
		return errors.New("reading the user's start file: unexpected output")
	}
	var b strings.Builder
	b.WriteString("shopt -s expand_aliases\n" + parts[1] + parts[2])
	for v := range strings.SplitSeq(parts[3], "\x00") {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !identifier(name) || slices.Contains(before, v) || sandbox.Secret(name, value) || slices.Contains([]string{"SHLVL", "PWD", "OLDPWD", "_"}, name) {
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	if err := os.WriteFile(s.folders.snapshot(), []byte(b.String()), 0o600); err != nil {
		return err
	}
	s.snapshot = true
	return nil
}

// identifier reports whether a name is one that the shell can export.
func identifier(name string) bool {
	for i, c := range name {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
