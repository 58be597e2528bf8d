package main

import (
	"context"
	"os"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/anthropic/bedrock"
	"github.com/claude-force/claude-force/llm/anthropic/vertex"
)

// cloud makes the SDK's options for the backend, configured or of the
// environment; nil for Anthropic's own API.
func cloud(backend string) func(ctx context.Context, region, projectID string) ([]option.RequestOption, error) {
	if backend == "" {
		env, _ := anthropic.FromEnv(os.Getenv) // a missing credential is reported by who needs it
		backend = env.Backend
	}
	switch backend {
	case anthropic.BackendBedrock:
		return func(ctx context.Context, region, _ string) ([]option.RequestOption, error) {
			return bedrock.Options(ctx, region)
		}
	case anthropic.BackendVertex:
		return vertex.Options
	}
	return nil
}
