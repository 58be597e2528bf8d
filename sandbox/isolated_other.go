//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"os"
	"runtime"
)

func probe() Report {
	reason := "not on " + runtime.GOOS
	var layers []Layer
	for _, name := range []string{layerNamespaces, layerLandlock, layerScope, layerSeccomp, layerCgroup, layerLimits, layerWatchdog, layerSubreaper} {
		layers = append(layers, Layer{Name: name, Reason: reason})
	}
	return Report{Layers: layers, Guards: guards(layers)}
}

func helper() { os.Exit(2) }

func startIsolated(context.Context, Policy, Command) (*Process, error) {
	return nil, errors.New("sandbox: not on " + runtime.GOOS)
}
