// Package bedrock lets llm/anthropic reach Claude on Amazon Bedrock.
//
//	opts.Backend = anthropic.BackendBedrock
//	opts.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
//		return bedrock.Options(ctx, opts.Region)
//	}
//
// It is a package of its own because of what it links: the AWS libraries add
// about a quarter to the start of every process that links them, even one
// that never asks Bedrock. Nothing imports it but who wants that.
package bedrock

import (
	"context"
	"errors"
	"fmt"
	"net"

	sdk "github.com/anthropics/anthropic-sdk-go/v2/bedrock"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/claude-force/claude-force/llm"
)

// Options returns the SDK's options for Bedrock in a region. Credentials come
// from where all AWS tools take them: environment variables (among them
// AWS_BEARER_TOKEN_BEDROCK), the shared files and profiles, SSO, the machine's
// role. They are looked up on the first call and renewed as they expire, in
// ctx's values but beyond its end. An empty region is the one configured for
// AWS.
//
// Errors are of type [*llm.Error].
func Options(ctx context.Context, region string) ([]option.RequestOption, error) {
	var set []func(*config.LoadOptions) error
	if region != "" {
		set = append(set, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(context.WithoutCancel(ctx), set...)
	if err != nil {
		return nil, llm.NewError(llm.CodeAuth, fmt.Sprintf("the AWS configuration cannot be read (%v): check AWS_PROFILE and ~/.aws", err), err)
	}
	if cfg.Region == "" {
		return nil, llm.NewError(llm.CodeInvalid, "no AWS region: set AWS_REGION", nil)
	}
	if cfg.Credentials != nil {
		cfg.Credentials = aws.NewCredentialsCache(credentials{cfg.Credentials})
	}
	return []option.RequestOption{sdk.WithConfig(cfg)}, nil
}

// credentials says in our words that there are none.
type credentials struct{ next aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.next.Retrieve(ctx)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	// The causes name endpoints and files, never a credential.
	if _, ok := errors.AsType[net.Error](err); ok {
		return found, llm.NewError(llm.CodeConnection, fmt.Sprintf("AWS credentials cannot be fetched: %v", err), err)
	}
	return found, llm.NewError(llm.CodeAuth, fmt.Sprintf("no usable AWS credentials (%v): run `aws sso login`, or set AWS_PROFILE or AWS_BEARER_TOKEN_BEDROCK", err), err)
}
