package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// group is a control group of one command. A nil group does nothing.
type group struct {
	dir    string
	memory bool // the group bounds memory as well
	v2     bool
}

// groupPlace is where groups can be made.
type groupPlace struct {
	dir    string
	v2     bool
	memory bool
}

// groupPlaces returns where this process may make groups that bound processes.
// In version 1, the memory of a group is another hierarchy, which whoever
// started this process may use for it, and which is left alone.
func groupPlaces() []groupPlace {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	return placesIn(string(self), string(mounts), func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		return string(text)
	})
}

// placesIn returns the places that the texts of /proc/self/cgroup and
// /proc/self/mounts name. read returns the text of a file, or "".
func placesIn(self, mounts string, read func(file string) string) []groupPlace {
	var v1, v2 string
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		switch {
		case f[2] == "cgroup2":
			v2 = f[1]
		case f[2] == "cgroup" && hasWord(f[3], ",", "pids"):
			v1 = f[1]
		}
	}
	var places []groupPlace
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "" && v2 != "":
			// A group with processes cannot have groups that bound some of
			// them, except the topmost; so beside the own group.
			own := base(v2, f[2])
			for _, dir := range []string{own, filepath.Dir(own)} {
				control := read(filepath.Join(dir, "cgroup.subtree_control"))
				if within(dir, v2) && hasWord(control, " ", "pids") {
					places = append(places, groupPlace{dir: dir, v2: true, memory: hasWord(control, " ", "memory")})
				}
			}
		case hasWord(f[1], ",", "pids") && v1 != "":
			places = append(places, groupPlace{dir: base(v1, f[2])})
		}
	}
	return places
}

func hasWord(list, separator, word string) bool {
	for w := range strings.SplitSeq(strings.TrimSpace(list), separator) {
		if w == word {
			return true
		}
	}
	return false
}

// thePlace is where groups are made; its dir is "" if nowhere.
var thePlace = sync.OnceValues(func() (groupPlace, error) {
	places := groupPlaces()
	if len(places) == 0 {
		return groupPlace{}, errors.New("no hierarchy with a limit on processes")
	}
	var errs []error
	for _, p := range places {
		p.removeStale()
		g, err := p.make(DefaultLimits)
		if err == nil {
			g.remove()
			return p, nil
		}
		errs = append(errs, err)
	}
	return groupPlace{}, flatten(errors.Join(errs...))
})

// probeGroup returns what groups can do here.
func probeGroup() (string, error) {
	p, err := thePlace()
	switch {
	case err != nil:
		return "", err
	case p.v2 && p.memory:
		return "version 2, processes and memory", nil
	case p.v2:
		return "version 2, processes", nil
	}
	return "version 1, processes", nil
}

// groupMemory reports whether groups bound memory.
func groupMemory() bool {
	p, err := thePlace()
	return err == nil && p.memory
}

func newGroup(l Limits) (*group, error) {
	p, err := thePlace()
	if err != nil {
		return nil, err
	}
	return p.make(l)
}

var groupCount atomic.Int64

const groupPrefix = "claude-force-"

// make makes a group with limits.
func (p groupPlace) make(l Limits) (*group, error) {
	dir := filepath.Join(p.dir, fmt.Sprintf("%s%d-%d", groupPrefix, os.Getpid(), groupCount.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	g := &group{dir: dir, v2: p.v2, memory: p.memory}
	files := map[string]string{"pids.max": strconv.Itoa(l.Processes + helperThreads)}
	if p.memory {
		files["memory.max"], files["memory.swap.max"], files["memory.oom.group"] = strconv.FormatInt(l.Memory, 10), "0", "1"
	}
	for name, value := range files {
		err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
		if err != nil && (name == "pids.max" || name == "memory.max") {
			g.remove()
			return nil, err
		}
	}
	return g, nil
}

// removeStale removes groups of processes that were killed.
func (p groupPlace) removeStale() {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), groupPrefix)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(text)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			// A group that still has processes stays.
			_ = syscall.Rmdir(filepath.Join(p.dir, e.Name()))
		}
	}
}

// add puts a process into the group.
func (g *group) add(pid int) error {
	if g == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// kill ends the processes of the group.
func (g *group) kill() {
	if g == nil {
		return
	}
	if g.v2 && os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	for range 100 {
		text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		pids := strings.Fields(string(text))
		if err != nil || len(pids) == 0 {
			return
		}
		for _, field := range pids {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		<-time.After(time.Millisecond)
	}
}

// outOfMemory reports whether the kernel ended a process of the group for its
// memory.
func (g *group) outOfMemory() bool {
	if g == nil || !g.memory {
		return false
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if name, n, _ := strings.Cut(strings.TrimSpace(line), " "); name == "oom_kill" {
			return n != "0"
		}
	}
	return false
}

// remove removes the group, which has no processes any more.
func (g *group) remove() {
	if g == nil {
		return
	}
	for range 200 {
		if err := syscall.Rmdir(g.dir); !errors.Is(err, syscall.EBUSY) {
			return
		}
		<-time.After(time.Millisecond)
	}
}
