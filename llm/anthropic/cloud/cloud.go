// Package cloud sets up the SDK for the backend that is configured: it links the SDKs of
// both clouds, for programs that take any configuration.
package cloud

import (
	"context"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/anthropic/bedrock"
	"github.com/claude-force/claude-force/llm/anthropic/vertex"
)

// Options returns the function that sets up the SDK for a backend, on the first
// call. It returns nil for Anthropic's own API.
func Options(backend string) func(ctx context.Context, region, projectID string) ([]option.RequestOption, error) {
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
