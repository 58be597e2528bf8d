package sandbox

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// watchEvery is how often the watchdog looks.
const watchEvery = 20 * time.Millisecond

// watchUse ends the command when it has more processes or uses more memory than
// granted. It holds where no control group does.
func (p *Process) watchUse(g *group, limits Limits) {
	if g != nil && g.memory {
		return
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	page := int64(os.Getpagesize())
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
		}
		pids := descendants(p.pid)
		if g == nil && len(pids) > limits.Processes {
			p.endFor(TooManyProcesses)
			return
		}
		var used int64
		for _, pid := range pids {
			used += residentPages(pid) * page
		}
		if used > limits.Memory {
			p.endFor(TooMuchMemory)
			return
		}
	}
}

// residentPages returns the pages that a process has for itself in memory.
func residentPages(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0
	}
	resident, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	shared, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return 0
	}
	return max(0, resident-shared)
}
