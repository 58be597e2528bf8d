package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

// variant is a set of layers under which a test runs.
type variant struct {
	name string
	sys  system
}

// variants returns the sets of layers that this system offers: all, and those
// of systems that lack some. A layer that is missing fails the test in CI,
// unless the kernel or the container refuses it.
func variants(t *testing.T) []variant {
	t.Helper()
	report := Probe()
	for _, l := range report.Layers {
		if l.Holds {
			continue
		}
		t.Logf("layer %s is missing: %s", l.Name, l.Reason)
		if os.Getenv("CI") != "" && !cannot(l.Reason) {
			t.Errorf("layer %s is missing, and neither kernel nor container refuses it: %s", l.Name, l.Reason)
		}
	}
	if missing := report.Missing(); len(missing) > 0 {
		citest.Missing(t, "this system cannot isolate commands: %v", &UnavailableError{missing})
	}
	list := []variant{{"all", found}}
	if testing.Short() { // with the race detector, whose programs start slowly
		return list
	}
	add := func(name string, change func(*system)) {
		sys := found
		change(&sys)
		if sys != found {
			list = append(list, variant{name, sys})
		}
	}
	add("no cgroup", func(s *system) { s.cgroup = false })
	if found.namespaces && os.Geteuid() == 0 {
		user := system{namespaces: true, userNS: true, landlock: found.landlock, seccomp: true}
		if _, err := user.run(t, Policy{}, "/", "true"); err == nil {
			list = append(list, variant{"user namespace", user})
		}
	}
	if found.namespaces && found.seccomp {
		list = append(list, variant{"no landlock", system{namespaces: true, userNS: found.userNS, seccomp: true}})
	}
	if found.landlock && found.seccomp {
		list = append(list, variant{"no namespaces", system{landlock: true, seccomp: true}})
	}
	return list
}

// cannot reports whether a layer is missing for a reason outside this program.
func cannot(reason string) bool {
	for _, r := range []string{
		"not permitted", "permission denied", "read-only file system", "no space left", "function not implemented",
		"the kernel has no", "it needs Landlock", "no hierarchy", "counts only in a user namespace", "root is exempt", "ABI ",
	} {
		if strings.Contains(reason, r) {
			return true
		}
	}
	return false
}

func (sys system) run(t *testing.T, p Policy, dir string, args ...string) (string, error) {
	out, _, err := sys.result(t, p, dir, args...)
	return out, err
}

func (sys system) result(t *testing.T, p Policy, dir string, args ...string) (string, Result, error) {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	p.Limits = p.Limits.withDefaults()
	proc, err := sys.start(ctx, p, Command{Args: args, Dir: dir, Env: Environ(nil), Output: &out})
	if err != nil {
		return "", Result{}, err
	}
	r, err := proc.Wait()
	return out.String(), r, err
}

// site is where attacks start: a folder that is granted, and one beside it
// that is not.
type site struct {
	self, inside, outside, secret string
}

const secretText = "the secret that must stay"

func newSite(t *testing.T) site {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := site{self: self, inside: filepath.Join(root, "inside"), outside: filepath.Join(root, "outside")}
	p.secret = filepath.Join(p.outside, "secret")
	for _, dir := range []string{p.inside, p.outside} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{p.secret: secretText, filepath.Join(p.inside, "own"): "own"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// policy grants the inside and the attacker itself.
func (p site) policy() Policy { return Policy{Write: []string{p.inside}, Read: []string{p.self}} }

// Attempts to read, change or remove what was not granted.
func TestFileEscapes(t *testing.T) {
	const variable = "value-of-a-variable-that-was-not-granted"
	t.Setenv("CLAUDE_FORCE_API_KEY", variable)
	t.Setenv("ANTHROPIC_API_KEY", variable)
	parent := os.Getpid()
	attempts := map[string]string{
		"traversal":          `cat ../outside/secret; cat ./x/../../outside/secret; cat SECRET`,
		"link":               `ln -s SECRET l; cat l; ln -s OUTSIDE d; cat d/secret; ls d`,
		"hard link":          `ln SECRET h; cat h`,
		"cd":                 `cd / && cat SECRET; cd OUTSIDE && cat secret`,
		"substitution":       "echo $(cat SECRET) `cat SECRET` $(<SECRET)",
		"heredoc":            "cat <<EOF\n$(cat SECRET)\nEOF\nbash <<'EOF'\ncat SECRET\nEOF",
		"redirection":        `cat <SECRET; echo overwritten >SECRET; echo overwritten >>SECRET`,
		"git pager":          `git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m m; git -c core.pager='cat SECRET; cat' -p log; git -c core.fsmonitor='cat SECRET >&2; false' status; git -c alias.x='!cat SECRET' x`,
		"find":               `find . -maxdepth 0 -exec cat SECRET \; ; find OUTSIDE -type f -exec cat {} +`,
		"xargs":              `echo SECRET | xargs cat; env cat SECRET; sh -c 'cat SECRET'; exec cat SECRET`,
		"write":              `echo x >OUTSIDE/new; mkdir OUTSIDE/dir; touch OUTSIDE/secret; truncate -s 0 SECRET`,
		"remove":             `rm -rf OUTSIDE; rm -f SECRET; mv SECRET stolen; cat stolen`,
		"copy":               `cp -r OUTSIDE copy; cat copy/secret; tar cf - OUTSIDE | cat; dd if=SECRET`,
		"proc root":          fmt.Sprintf(`cat /proc/1/rootSECRET /proc/%d/rootSECRET /proc/%d/cwd/x; ls /proc/%d/fd; cat /proc/1/root/etc/shadow`, parent, parent, parent),
		"environment":        fmt.Sprintf(`env; export -p; cat /proc/self/environ /proc/1/environ /proc/$PPID/environ /proc/%d/environ; cat /proc/*/environ`, parent),
		"memory of another":  fmt.Sprintf(`head -c 10 /proc/%d/mem; head -c 1 /proc/1/mem && echo reached`, parent),
		"secrets of system":  `cat /etc/shadow /etc/gshadow | grep root: && echo reached`,
		"kernel settings":    `echo x >/proc/sys/kernel/hostname && echo reached; echo c >/proc/sysrq-trigger && echo reached`,
		"mount":              `mount -t tmpfs none . && echo reached; mount --bind / . && echo reached; umount /etc && echo reached; umount /etc/shadow && echo reached`,
		"namespaces":         `unshare -U true && echo reached; unshare -Urm true && echo reached; SELF attack unshare && echo reached`,
		"change root":        `chroot . true && echo reached`,
		"device":             `mknod dev b 8 0 && cat dev && echo reached; mknod mem c 1 1 && cat mem && echo reached`,
		"signal":             fmt.Sprintf(`kill -CONT %d 2>&1 && echo reached`, parent),
		"trace":              fmt.Sprintf(`gdb -p %d -batch 2>/dev/null | grep -q Attaching && echo reached; true`, parent),
		"keys of the kernel": `SELF attack keyctl && echo reached`,
		"io_uring":           `SELF attack io_uring && echo reached`,
		"open descriptors":   `for f in /proc/self/fd/*; do [ "${f##*/}" -gt 2 ] && readlink $f; done | grep -v -e '^/proc' -e '^/dev' -e '^pipe' -e '^$' && echo reached`,
	}
	// A descriptor that whoever started this program left open for all.
	file, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	left, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(left) }()
	for i, v := range variants(t) {
		list := attempts
		if i > 0 {
			// All at once, one after the other.
			var all strings.Builder
			for _, name := range slices.Sorted(maps.Keys(attempts)) {
				fmt.Fprintf(&all, "(\n%s\n)\n", attempts[name])
			}
			list = map[string]string{"all attempts": all.String()}
		}
		for name, script := range list {
			t.Run(v.name+"/"+name, func(t *testing.T) {
				p := newSite(t)
				script = strings.NewReplacer("SECRET", p.secret, "OUTSIDE", p.outside, "SELF", p.self).Replace(script)
				out, r, err := v.sys.result(t, p.policy(), p.inside, "bash", "-c", script)
				if err != nil || r.Cause != "" {
					t.Fatalf("%v, %+v", err, r)
				}
				for _, bad := range []string{secretText, variable, "reached"} {
					if strings.Contains(out, bad) {
						t.Errorf("the output has %q:\n%s", bad, out)
					}
				}
				if text, err := os.ReadFile(p.secret); string(text) != secretText {
					t.Errorf("the file outside is %q, %v", text, err)
				}
				if entries, err := os.ReadDir(p.outside); len(entries) != 1 {
					t.Errorf("the folder outside has %v, %v", entries, err)
				}
			})
		}
	}
}

// A link that changes between an outside and an inside target is followed by
// the kernel, once, under the same rules.
func TestSwappedLink(t *testing.T) {
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			p := newSite(t)
			out, _, err := v.sys.result(t, p.policy(), p.inside, "bash", "-c", `
				mkdir real; echo own >real/secret; ln -s real l
				(for i in $(seq 100); do ln -sfn `+p.outside+` l; ln -sfn real l; done) &
				for i in $(seq 100); do cat l/secret; done 2>/dev/null; wait; cat l/secret`)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out, secretText) || !strings.Contains(out, "own") {
				t.Errorf("output %q", out)
			}
		})
	}
}

// A granted folder that becomes a link after the policy was resolved is refused.
func TestSwappedGrant(t *testing.T) {
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			p := newSite(t)
			policy := p.policy()
			policy.Limits = policy.Limits.withDefaults()
			grants, err := policy.grants()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(p.inside); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(p.outside, p.inside); err != nil {
				t.Fatal(err)
			}
			h, err := v.sys.launch(&spec{
				Grants: grants, Etc: etc().readable, Limits: policy.Limits,
				Args: []string{"bash", "-c", "cat secret"}, Dir: p.inside, Env: Environ(nil),
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			h.output.Close()
			st, err := h.wait()
			h.group.remove()
			if err == nil || !strings.Contains(err.Error(), "too many levels of symbolic links") {
				t.Errorf("status %+v, error %v", st, err)
			}
		})
	}
}

// Files inside a granted folder can be hidden or kept from being changed.
func TestProtectedInside(t *testing.T) {
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			p := newSite(t)
			key, hooks := filepath.Join(p.inside, "a", "b", "key"), filepath.Join(p.inside, "g", "hooks")
			for _, dir := range []string{filepath.Dir(key), filepath.Dir(hooks)} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(key, []byte(secretText), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(hooks, 0o755); err != nil {
				t.Fatal(err)
			}
			policy := p.policy()
			policy.Hide, policy.ReadOnly = []string{key}, []string{hooks}
			out, _, err := v.sys.result(t, policy, p.inside, "bash", "-c",
				`mv a/b a/b2; mv a a2; rm -rf a; mv g g2; cp -r g2 g; rm -rf g; cd a/b && (cat key; cp key k2; cat k2; mv key k3; cat k3; rm -f key; ln key k4; cat k4)
				cd ../../g && (echo x >hooks/h; mv hooks h2; rm -rf hooks); cd .. && mkdir -p g/hooks && echo x >g/hooks/h; touch g/more a/b/more || echo pinned; echo ok >new; cat new`)
			if !v.sys.namespaces {
				if err == nil || !strings.Contains(err.Error(), "needs namespaces") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out, secretText) || strings.Contains(out, "pinned") || !strings.HasSuffix(out, "ok\n") {
				t.Errorf("output %q", out)
			}
			if text, err := os.ReadFile(key); string(text) != secretText {
				t.Errorf("the key is %q, %v", text, err)
			}
			if entries, err := os.ReadDir(hooks); len(entries) != 0 || err != nil {
				t.Errorf("the hooks are %v, %v", entries, err)
			}
		})
	}
}

// What is granted works.
func TestGranted(t *testing.T) {
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			p := newSite(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			sock, err := net.Listen("unix", filepath.Join(p.outside, "s"))
			if err != nil {
				t.Fatal(err)
			}
			defer sock.Close()
			temp := filepath.Join(p.outside, "temp")
			if err := os.Mkdir(temp, 0o755); err != nil {
				t.Fatal(err)
			}
			try := func(what string, change func(*Policy), want int, args ...string) {
				t.Helper()
				policy := p.policy()
				change(&policy)
				out, r, err := v.sys.result(t, policy, p.inside, args...)
				if err != nil || r.ExitCode != want {
					t.Errorf("%s: %+v, %v, output %q", what, r, err, out)
				}
			}
			try("host network", func(p *Policy) { p.Network = HostNetwork }, 0, p.self, "attack", "tcp", l.Addr().String())
			try("no loopback", func(p *Policy) {}, 1, p.self, "attack", "loopback")
			try("process substitution, /dev, temporary files", func(*Policy) {}, 0, "bash", "-ec",
				`cat <(echo a) >/dev/null; echo x >f; cat f >/dev/stderr; echo $$ >/dev/null; head -c1 /dev/urandom >/dev/null; git --version; test -x /usr/bin/env`)
			if !v.sys.namespaces {
				return
			}
			try("loopback", func(p *Policy) { p.Network = LoopbackNetwork }, 0, p.self, "attack", "loopback")
			try("host by loopback", func(p *Policy) { p.Network = LoopbackNetwork }, 1, p.self, "attack", "tcp", l.Addr().String())
			try("unix socket", func(p *Policy) { p.UnixSockets = []string{sock.Addr().String()} }, 0, p.self, "attack", "unix", sock.Addr().String())
			try("temporary folder", func(p *Policy) { p.Temp = temp }, 0, "bash", "-ec", "echo kept >/tmp/f; mktemp; cat "+temp+"/f")
			if text, err := os.ReadFile(filepath.Join(temp, "f")); string(text) != "kept\n" {
				t.Errorf("temporary file %q, %v", text, err)
			}
			try("folder elsewhere", func(p *Policy) { p.Binds = []Bind{{temp, "/home/x"}} }, 0, "bash", "-ec", "echo kept >/home/x/g")
			if text, err := os.ReadFile(filepath.Join(temp, "g")); string(text) != "kept\n" {
				t.Errorf("file elsewhere %q, %v", text, err)
			}
			try("private temporary folder", func(*Policy) {}, 0, "bash", "-ec", "echo x >/tmp/f; ls /tmp/f; mktemp")
		})
	}
}
