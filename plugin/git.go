package plugin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/tempfolder"
)

// fetchTimeout bounds the time for a repository.
const fetchTimeout = 5 * time.Minute

// fetch returns the files of a source and, of a repository, the commit.
func fetch(ctx context.Context, source, ref string) ([]file, string, error) {
	if filepath.IsAbs(source) {
		files, err := scan(source)
		return files, "", err
	}
	address, err := gitURL(source)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	folder, err := tempfolder.New("plugin")
	if err != nil {
		return nil, "", err
	}
	defer folder.Remove() //nolint:errcheck // a temporary folder
	dir := folder.Path()
	if _, err := git(ctx, dir, nil, "init", "--quiet", "--bare", "--template=", "."); err != nil {
		return nil, "", err
	}
	if ref == "" {
		ref = "HEAD"
	}
	if _, err := git(ctx, dir, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--", address, ref+":refs/heads/taken"); err != nil {
		return nil, "", err
	}
	out, err := git(ctx, dir, nil, "rev-parse", "--verify", "refs/heads/taken^{commit}")
	if err != nil {
		return nil, "", err
	}
	commit := strings.TrimSpace(string(out))
	files, err := blobs(ctx, dir, commit)
	return files, commit, err
}

// blobs returns the files of a commit as Git stores them: without a checkout no
// filter, hook or attribute has an effect. Submodules are left out.
func blobs(ctx context.Context, dir, commit string) ([]file, error) {
	out, err := git(ctx, dir, nil, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var files []file
	var ids bytes.Buffer
	var b bounds
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		if !ok || len(fields) != 4 || fields[1] != "blob" {
			continue
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return nil, err
		}
		if err := b.add(name, size); err != nil {
			return nil, err
		}
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\:") {
			return nil, fmt.Errorf("the name %q of a file is not valid", name)
		}
		files = append(files, file{name: name, link: fields[0] == "120000", executable: fields[0] == "100755", data: make([]byte, size)})
		fmt.Fprintln(&ids, fields[2])
	}
	out, err = git(ctx, dir, &ids, "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(bytes.NewReader(out))
	for i := range files {
		if _, err := in.ReadString('\n'); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(in, files[i].data); err != nil {
			return nil, err
		}
		if _, err := in.Discard(1); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// git runs Git in a bare repository of its own, without settings of the user and the
// system, which could name programs.
func git(ctx context.Context, dir string, stdin io.Reader, args ...string) ([]byte, error) {
	settings := []string{
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "submodule.recurse=false",
		"-c", "fetch.recurseSubmodules=false", "-c", "protocol.allow=never",
		"-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always", "-c", "protocol.file.allow=always", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
	}
	cmd := exec.CommandContext(ctx, "git", append(settings, args...)...)
	cmd.Dir, cmd.Stdin = dir, stdin
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); !strings.HasPrefix(strings.ToUpper(name), "GIT_") && !strings.HasPrefix(name, "CLAUDE_FORCE_") && !strings.HasPrefix(name, "ANTHROPIC_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_DIR="+dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_ALLOW_PROTOCOL=https:ssh:file", "GIT_LFS_SKIP_SMUDGE=1", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// scpExpr matches the short form of a URL for ssh.
var scpExpr = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([A-Za-z0-9._-]+)@([A-Za-z0-9.-]+):([^:]+)$`) })

// gitURL returns the URL of a repository. Only https, ssh and file are allowed:
// others can run programs, or send what they get in the clear.
func gitURL(source string) (string, error) {
	if m := scpExpr().FindStringSubmatch(source); m != nil && !strings.HasPrefix(m[3], "-") {
		return "ssh://" + m[1] + "@" + m[2] + "/" + strings.TrimPrefix(m[3], "/"), nil
	}
	u, err := url.Parse(source)
	if err != nil {
		return "", fmt.Errorf("%q is neither a folder nor a URL", source)
	}
	switch u.Scheme {
	case "https", "ssh":
		if u.Host == "" || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-") {
			return "", fmt.Errorf("%q names no host", source)
		}
		if _, has := u.User.Password(); has {
			return "", errors.New("a URL with a password would be written to the lock file; use ssh, or a key of Git's")
		}
	case "file":
	case "":
		return "", fmt.Errorf("%q is neither a folder that exists nor a URL", source)
	default:
		return "", fmt.Errorf("%q: of a repository's URL only https, ssh and file are allowed", source)
	}
	return source, nil
}

// local reports whether a source is on this machine: a folder, or the URL of a file.
func local(source string) bool {
	u, err := url.Parse(source)
	return filepath.IsAbs(source) || err == nil && u.Scheme == "file"
}

var refExpr = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]*$`) })

func checkRef(ref string) error {
	if ref != "" && (!refExpr().MatchString(ref) || strings.Contains(ref, "..")) {
		return fmt.Errorf("%q is no branch, tag or commit", ref)
	}
	return nil
}
