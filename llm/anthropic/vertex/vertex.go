// Package vertex lets llm/anthropic reach Claude on Google Vertex AI.
//
//	opts.Backend = anthropic.BackendVertex
//	opts.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
//		return vertex.Options(ctx, opts.Region, opts.ProjectID)
//	}
//
// It is a package of its own because of what it links: Google's libraries,
// gRPC among them, more than double the start of every process that links
// them, even one that never asks Vertex. Nothing imports it but who wants
// that.
package vertex

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	sdk "github.com/anthropics/anthropic-sdk-go/v2/vertex"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/claude-force/claude-force/llm"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

// Options are the SDK's options for Vertex AI in a region ("global" is one)
// and a project. The credential is Google's application default credential:
// the file GOOGLE_APPLICATION_CREDENTIALS names, that of `gcloud auth
// application-default login`, or the machine's service account. Tokens are
// renewed as they expire, with ctx's values but beyond its end.
//
// Errors are of type [*llm.Error].
func Options(ctx context.Context, region, projectID string) ([]option.RequestOption, error) {
	if region == "" || projectID == "" {
		return nil, llm.NewError(llm.CodeInvalid, "no Google Cloud region or project: set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID", nil)
	}
	ctx = context.WithoutCancel(ctx)
	found, err := google.FindDefaultCredentials(ctx, scope)
	if err != nil {
		// The cause may quote the credential's file; it is not shown.
		return nil, llm.NewError(llm.CodeAuth, "no usable Google Cloud credential: run `gcloud auth application-default login`, or check GOOGLE_APPLICATION_CREDENTIALS", nil)
	}
	return adapt(ctx, region, projectID, &google.Credentials{ProjectID: found.ProjectID, TokenSource: tokens{found.TokenSource}})
}

// adapt is [sdk.WithCredentials], which panics where it should fail.
func adapt(ctx context.Context, region, projectID string, creds *google.Credentials) (opts []option.RequestOption, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = llm.NewError(llm.CodeAuth, fmt.Sprintf("the Google Cloud client cannot be set up: %v", cause), nil)
		}
	}()
	return []option.RequestOption{sdk.WithCredentials(ctx, region, projectID, creds)}, nil
}

// tokens says in our words that there is none.
type tokens struct{ next oauth2.TokenSource }

func (t tokens) Token() (*oauth2.Token, error) {
	token, err := t.next.Token()
	if err == nil {
		return token, nil
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, llm.NewError(llm.CodeAuth, fmt.Sprintf("Google refuses the credential (%s): run `gcloud auth application-default login`", refused.ErrorCode), nil)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return nil, llm.NewError(llm.CodeConnection, "a Google Cloud token cannot be fetched: check the network", err)
	}
	return nil, llm.NewError(llm.CodeAuth, "no Google Cloud token: run `gcloud auth application-default login`", nil)
}
