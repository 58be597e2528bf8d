// Package vertex lets llm/anthropic reach Claude on Google Vertex AI.
//
//	opts.Backend = anthropic.BackendVertex
//	opts.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
//		return vertex.Options(ctx, opts.Region, opts.ProjectID)
//	}
//
// It rewrites requests itself instead of using the SDK's package of the same
// name, which links Google's whole API client for one HTTP client; see
// docs/decisions.md.
package vertex

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/claude-force/claude-force/llm"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

// Options returns the SDK's options for Vertex AI in a region ("global" is one)
// and a project. The credential is Google's application default credential:
// the file GOOGLE_APPLICATION_CREDENTIALS names, that of `gcloud auth
// application-default login`, or the machine's service account. Tokens are
// renewed as they expire, with ctx's values but beyond its end.
//
// Errors are of type [*llm.Error].
func Options(ctx context.Context, region, projectID string) ([]option.RequestOption, error) {
	if region == "" || projectID == "" || projectID == "." || projectID == ".." {
		return nil, llm.NewError(llm.CodeInvalid, "no Google Cloud region or project: set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID", nil)
	}
	found, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), scope)
	if err != nil {
		// The cause may quote the credential's file; it is not shown.
		return nil, llm.NewError(llm.CodeAuth, "no usable Google Cloud credential: run `gcloud auth application-default login`, or check GOOGLE_APPLICATION_CREDENTIALS", nil)
	}
	return adapt(region, projectID, tokens{found.TokenSource})
}

// adapt returns the options that send requests to Vertex AI with tokens of source.
func adapt(region, projectID string, source oauth2.TokenSource) ([]option.RequestOption, error) {
	base, err := endpoint(region)
	if err != nil {
		return nil, err
	}
	return []option.RequestOption{
		option.WithoutEnvironmentDefaults(),
		option.WithBaseURL(base),
		option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			if err := rewrite(req, region, projectID); err != nil {
				return nil, err
			}
			token, err := source.Token()
			if err != nil {
				return nil, err
			}
			token.SetAuthHeader(req)
			return next(req)
		}),
	}, nil
}

// endpoint returns the base URL of a region. The region becomes part of a host
// name that is sent a token, so anything but a plain name is an error.
func endpoint(region string) (string, error) {
	switch {
	case region == "global":
		return "https://aiplatform.googleapis.com/", nil
	case region == "us" || region == "eu":
		return "https://aiplatform." + region + ".rep.googleapis.com/", nil
	case region != "" && strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == "":
		return "https://" + region + "-aiplatform.googleapis.com/", nil
	}
	return "", llm.NewError(llm.CodeInvalid, fmt.Sprintf("%q is no Google Cloud region: check CLOUD_ML_REGION", region), nil)
}

// rewrite turns a request to Anthropic's own API into one to Vertex AI, which
// takes the model from the path and the API version from the body.
func rewrite(req *http.Request, region, projectID string) error {
	counting := req.URL.Path == "/v1/messages/count_tokens"
	if req.Method != http.MethodPost || !counting && req.URL.Path != "/v1/messages" {
		return llm.NewError(llm.CodeInvalid, fmt.Sprintf("Vertex AI does not serve %s %s", req.Method, req.URL.Path), nil)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	_ = req.Body.Close() // it is in memory
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if _, ok := fields["anthropic_version"]; !ok {
		fields["anthropic_version"], err = json.Marshal(req.Header.Get("Anthropic-Version"))
		if err != nil {
			return fmt.Errorf("writing the request: %w", err)
		}
	}
	req.Header.Del("Anthropic-Version")

	target := "count-tokens:rawPredict"
	if !counting {
		if target, err = predict(fields); err != nil {
			return err
		}
		delete(fields, "model")
	}
	if body, err = marshal(fields); err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	const path = "/v1/projects/%s/locations/%s/publishers/anthropic/models/%s"
	raw := fmt.Sprintf(path, url.PathEscape(projectID), url.PathEscape(region), target)
	if req.URL.Path, err = url.PathUnescape(raw); err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	req.URL.RawPath = raw
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody() // it never fails
	req.ContentLength = int64(len(body))
	return nil
}

// predict returns the last part of the path of a request for a message, escaped.
func predict(fields map[string]json.RawMessage) (string, error) {
	var model string
	if err := json.Unmarshal(fields["model"], &model); err != nil || model == "" {
		return "", llm.NewError(llm.CodeInvalid, "the request names no model", err)
	}
	if string(fields["stream"]) == "true" {
		return url.PathEscape(model) + ":streamRawPredict", nil
	}
	return url.PathEscape(model) + ":rawPredict", nil
}

// marshal returns fields as JSON and leaves what they hold as it is.
func marshal(fields map[string]json.RawMessage) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(fields)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// tokens turns the errors of a token source into errors of type [*llm.Error]
// that quote no credential.
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
