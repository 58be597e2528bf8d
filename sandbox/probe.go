package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Layer is one means of isolation and whether this system has it.
type Layer struct {
	Name   string `json:"name"`
	Holds  bool   `json:"holds"`
	Reason string `json:"reason"` // what was found, or why the layer is missing
}

// Guard is something that a command must not do, and the layers that prevent it.
type Guard struct {
	Name   string   `json:"name"`
	By     []string `json:"by"`               // names of the layers that hold; none if it is missing
	Reason string   `json:"reason,omitempty"` // why there is none
}

// Report is what holds on this system.
type Report struct {
	Layers []Layer `json:"layers"`
	Guards []Guard `json:"guards"`
}

// Probe returns what holds on this system, measured by starting the isolated
// process once. The first call takes milliseconds and later ones nothing.
func Probe() Report { return probed() }

var probed = sync.OnceValue(probe)

// Missing returns the guards that no layer provides.
func (r Report) Missing() []Guard {
	var missing []Guard
	for _, g := range r.Guards {
		if len(g.By) == 0 {
			missing = append(missing, g)
		}
	}
	return missing
}

// Namespaces reports whether commands run in namespaces of their own, which the
// fields ReadOnly, Hide, Binds and UnixSockets of a policy and LoopbackNetwork
// need.
func (r Report) Namespaces() bool {
	return slices.ContainsFunc(r.Layers, func(l Layer) bool { return l.Name == layerNamespaces && l.Holds })
}

// String returns the report as lines.
func (r Report) String() string {
	var b strings.Builder
	for _, l := range r.Layers {
		state := "yes"
		if !l.Holds {
			state = "no"
		}
		fmt.Fprintf(&b, "layer  %-15s %-4s %s\n", l.Name, state, l.Reason)
	}
	for _, g := range r.Guards {
		by := strings.Join(g.By, ", ")
		if by == "" {
			by = "MISSING: " + g.Reason
		}
		fmt.Fprintf(&b, "guard  %-15s %s\n", g.Name, by)
	}
	return b.String()
}

// Names of layers.
const (
	layerNamespaces = "namespaces"
	layerLandlock   = "landlock"
	layerScope      = "landlock scope"
	layerSeccomp    = "seccomp"
	layerCgroup     = "cgroup"
	layerLimits     = "process limit"
	layerWatchdog   = "watchdog"
	layerSubreaper  = "subreaper"
)

// guards returns which of the layers that hold provides each guard.
func guards(layers []Layer) []Guard {
	of := func(name string, by ...string) Guard {
		g := Guard{Name: name, By: []string{}}
		var reasons []string
		for _, l := range layers {
			for _, want := range by {
				switch {
				case l.Name != want:
				case l.Holds:
					g.By = append(g.By, l.Name)
				default:
					reasons = append(reasons, l.Name+": "+l.Reason)
				}
			}
		}
		if len(g.By) == 0 {
			g.Reason = strings.Join(reasons, "; ")
		}
		return g
	}
	return []Guard{
		of("files", layerNamespaces, layerLandlock),
		of("network", layerNamespaces, layerSeccomp),
		of("unix sockets", layerSeccomp, layerNamespaces),
		of("kernel calls", layerSeccomp),
		of("signals", layerNamespaces, layerScope),
		of("processes", layerCgroup, layerLimits, layerWatchdog),
		of("memory", layerCgroup, layerWatchdog),
		of("survivors", layerNamespaces, layerCgroup, layerSubreaper),
	}
}
