package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

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
