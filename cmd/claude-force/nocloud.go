//go:build !cloud

package main

import (
	"context"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm/anthropic"
)

// cloud makes the SDK's options for a backend. The clients of the clouds double
// the start-up time of every command, so they are part of the program only if
// it is built with the tag cloud.
func cloud(backend string) (func(ctx context.Context, region, projectID string) ([]option.RequestOption, error), error) {
	if backend == anthropic.BackendBedrock || backend == anthropic.BackendVertex {
		return nil, badInput("this build leaves %s out, to start faster; install the one that has it:\n    go install -tags cloud github.com/claude-force/claude-force/cmd/claude-force@latest", backend)
	}
	return nil, nil
}
