package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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
		t.Skipf("this system cannot isolate commands: %v", &UnavailableError{missing})
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

// Attempts to reach a network that was not granted. Each is judged by what the
// other side received.
func TestNetworkEscapes(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(true)
	mptcp, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mptcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, v := range variants(t) {
		p := newSite(t)
		listen := func(path string) net.Listener {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return l
		}
		receive := func(path string) net.PacketConn {
			c, err := net.ListenPacket("unixgram", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		abstract := fmt.Sprintf("@claude-force-test-%d-%s", os.Getpid(), strings.ReplaceAll(v.name, " ", "-"))
		in, out := filepath.Join(p.inside, "s"), filepath.Join(p.outside, "s")
		dgram := filepath.Join(p.inside, "d")
		for _, a := range []struct {
			name, kind, address string
			listener            net.Listener
			packets             net.PacketConn
		}{
			{"tcp", "tcp", tcp.Addr().String(), tcp, nil},
			{"mptcp", "mptcp", mptcp.Addr().String(), mptcp, nil},
			{"udp", "udp", udp.LocalAddr().String(), nil, udp},
			{"unix socket outside", "unix", out, listen(out), nil},
			{"unix socket inside", "unix", in, listen(in), nil},
			{"abstract unix socket", "unix", abstract, listen(abstract), nil},
			{"unix datagram", "unixgram", dgram, nil, receive(dgram)},
			{"pair of datagram sockets", "pair", dgram, nil, nil},
			{"vsock", "family", "40", nil, nil},
			{"packet", "family", "17", nil, nil},
			{"bluetooth", "family", "31", nil, nil},
			{"kernel crypto", "family", "38", nil, nil},
		} {
			t.Run(v.name+"/"+a.name, func(t *testing.T) {
				out, r, err := v.sys.result(t, p.policy(), p.inside, p.self, "attack", a.kind, a.address)
				if err != nil {
					t.Fatal(err)
				}
				if r.ExitCode != 1 || !strings.HasPrefix(out, "refused") {
					t.Errorf("%+v, output %q", r, out)
				}
				// What arrives first now is the test's own.
				if a.listener != nil {
					go func() { _ = dial(a.listener.Addr().Network(), a.listener.Addr().String()) }()
					c, err := a.listener.Accept()
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if n := backlog(t, a.listener); n != 0 {
						t.Errorf("%d connections arrived", n)
					}
				}
				if a.packets != nil {
					to := a.packets.LocalAddr()
					own, err := net.Dial(to.Network(), to.String())
					if err != nil {
						t.Fatal(err)
					}
					defer own.Close()
					if _, err := own.Write([]byte("own")); err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 16)
					if n, _, err := a.packets.ReadFrom(buf); err != nil || string(buf[:n]) != "own" {
						t.Errorf("received %q, %v", buf[:n], err)
					}
				}
			})
		}
	}
}

// backlog returns how many connections wait to be accepted.
func backlog(t *testing.T, l net.Listener) (n int) {
	t.Helper()
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		t.Fatalf("%T has no deadline", l)
	}
	for {
		// Connections over the loopback interface are there at once.
		if err := d.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			if err := d.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		c.Close()
		n++
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

// Attempts to use more than granted. Each attacker has an end of its own.
func TestLimits(t *testing.T) {
	const marker = "19.7131"
	for _, v := range variants(t) {
		p := newSite(t)
		t.Run(v.name+"/processes", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.Processes = 50
			out, r, err := v.sys.result(t, policy, p.inside, p.self, "attack", "fork", marker, "10ms")
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(out, "started")
			t.Logf("%d processes, cause %q", n, r.Cause)
			if n > 100 || n < 20 {
				t.Errorf("%d processes, %+v", n, r)
			}
			counted := v.sys.userNS && os.Geteuid() != 0 // by the kernel, which refuses more
			if !v.sys.cgroup && !counted && r.Cause != TooManyProcesses {
				t.Errorf("cause %q", r.Cause)
			}
		})
		t.Run(v.name+"/memory", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.Memory = 128 << 20
			out, r, err := v.sys.result(t, policy, p.inside, p.self, "attack", "allocate", strconv.Itoa(256<<20))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out, "kept") || r.Cause != TooMuchMemory {
				t.Errorf("%+v, output %q", r, out)
			}
		})
		t.Run(v.name+"/output", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.Output = 1 << 20
			out, r, err := v.sys.result(t, policy, p.inside, p.self, "attack", "output", strconv.Itoa(2<<20))
			if err != nil || len(out) != 1<<20 || r.Cause != TooMuchOutput {
				t.Errorf("%d bytes, %+v, %v", len(out), r, err)
			}
		})
		t.Run(v.name+"/file size", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.FileSize = 1 << 20
			out, _, err := v.sys.result(t, policy, p.inside, p.self, "attack", "write", "big", strconv.Itoa(2<<20))
			info, serr := os.Stat(filepath.Join(p.inside, "big"))
			if err != nil || serr != nil || info.Size() > 1<<20 {
				t.Errorf("%v bytes, output %q, %v, %v", info, out, err, serr)
			}
		})
		t.Run(v.name+"/open files", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.OpenFiles = 64
			out, _, err := v.sys.result(t, policy, p.inside, "bash", "-c", `ulimit -n; ulimit -n 200 && echo raised; ulimit -f unlimited && echo raised`)
			if err != nil || !strings.HasPrefix(out, "64\n") || strings.Contains(out, "raised") {
				t.Errorf("output %q, %v", out, err)
			}
		})
		t.Run(v.name+"/time", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.Time = 50 * time.Millisecond
			_, r, err := v.sys.result(t, policy, p.inside, "bash", "-c", "sleep "+marker)
			if err != nil || r.Cause != Deadline {
				t.Errorf("%+v, %v", r, err)
			}
		})
		t.Run(v.name+"/survivors", func(t *testing.T) {
			out, r, err := v.sys.result(t, p.policy(), p.inside, "bash", "-c",
				`sleep `+marker+` & setsid sleep `+marker+` & (setsid bash -c 'sleep `+marker+` & exit' &) ; trap "" TERM HUP; nohup sleep `+marker+` & disown -a; echo ok`)
			if err != nil || r.ExitCode != 0 || !strings.Contains(out, "ok") {
				t.Errorf("%+v, %v, output %q", r, err, out)
			}
		})
		if n := running(t, "sleep\x00"+marker); n != 0 {
			t.Errorf("%s: %d processes survived", v.name, n)
		}
	}
}

// running returns how many processes have a command line.
func running(t *testing.T, commandLine string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(text), commandLine) {
			n++
		}
	}
	return n
}

// A command ends with the process that started it, however that ended.
func TestParentKilled(t *testing.T) {
	variants(t)
	const marker = "19.7132"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "attack", "parent", marker)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err, string(buf[:n]))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for running(t, helperName) > 0 || running(t, "sleep\x00"+marker) > 0 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil && running(t, "sleep\x00"+marker) == 0 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the command survived")
		}
		time.Sleep(time.Millisecond)
	}
	for _, p := range groupPlaces() {
		p.removeStale()
	}
}
