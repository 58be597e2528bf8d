package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Attempts to use more than granted. Each attacker has an end of its own.
func TestLimits(t *testing.T) {
	marker := marker()
	for _, v := range variants(t) {
		p := newSite(t)
		t.Run(v.name+"/processes", func(t *testing.T) {
			policy := p.policy()
			policy.Limits.Processes = 50
			const most = 60
			out, r, err := v.sys.result(t, policy, p.inside, p.self, "attack", "fork", marker, strconv.Itoa(most))
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(out, "started")
			t.Logf("%d processes, cause %q", n, r.Cause)
			if n < 20 {
				t.Errorf("%d processes, %+v", n, r)
			}
			counted := v.sys.cgroup || v.sys.userNS && os.Geteuid() != 0 // by the kernel, which refuses more
			if counted && (n == most || r.Cause != "") || !counted && r.Cause != TooManyProcesses {
				t.Errorf("%d processes, cause %q", n, r.Cause)
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
		if n := remain(t, "sleep\x00"+marker); n != 0 {
			t.Errorf("%s: %d processes survived", v.name, n)
		}
	}
}

// marker returns a number of seconds for which the processes of this test sleep, and no
// others: the same tests may run beside this one.
func marker() string { return fmt.Sprintf("3600.%07d", os.Getpid()) }

// remain returns how many processes with a command line are there after a while: those
// that were killed may take a moment. It ends them.
func remain(t *testing.T, commandLine string) (n int) {
	t.Helper()
	for range 30_000 {
		if n = running(t, commandLine); n == 0 {
			return 0
		}
		time.Sleep(2 * time.Millisecond)
	}
	for _, pid := range runningPIDs(t, commandLine) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return n
}

// running returns how many processes have a command line.
func running(t *testing.T, commandLine string) (n int) {
	t.Helper()
	return len(runningPIDs(t, commandLine))
}

func runningPIDs(t *testing.T, commandLine string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(text), commandLine) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// A command ends with the process that started it, however that ended.
func TestParentKilled(t *testing.T) {
	variants(t)
	marker := marker()
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
	if n := remain(t, "sleep\x00"+marker); n != 0 {
		t.Fatal("the command survived")
	}
	for running(t, helperName) > 0 { // it may be that of another test
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, p := range groupPlaces() {
		p.removeStale()
	}
}
