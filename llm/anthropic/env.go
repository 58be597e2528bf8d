package anthropic

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// ErrNoCredentials reports that no credential was found. Its code is
// [llm.CodeAuth].
var ErrNoCredentials error = llm.NewError(llm.CodeAuth, "no API key: set ANTHROPIC_API_KEY to one from https://platform.claude.com/settings/keys", nil)

// accountSeparator separates the parts of Options.Account; no part contains it.
const accountSeparator = "\x00"

// FromEnv returns options from the environment variables that Claude's own
// tools use. An empty variable counts as unset.
//
//	ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN    the credential; the first wins
//	ANTHROPIC_BASE_URL                         root of the API
//	ANTHROPIC_CUSTOM_HEADERS                   one "Name: value" per line
//	CLAUDE_CODE_USE_BEDROCK                    with AWS_REGION
//	CLAUDE_CODE_USE_VERTEX                     with CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID
//	ANTHROPIC_BEDROCK_BASE_URL, ANTHROPIC_VERTEX_BASE_URL
//
// If there is no credential, the error is [ErrNoCredentials] and the options
// hold the other values, so that the caller can add a credential.
func FromEnv(getenv func(string) string) (Options, error) {
	get := func(names ...string) string {
		for _, name := range names {
			if v := strings.TrimSpace(getenv(name)); v != "" {
				return v
			}
		}
		return ""
	}
	opts := Options{Headers: parseHeaders(getenv("ANTHROPIC_CUSTOM_HEADERS"))}
	switch {
	case isTrue(get("CLAUDE_CODE_USE_BEDROCK")):
		opts.Backend = BackendBedrock
		opts.Region = get("AWS_REGION", "AWS_DEFAULT_REGION")
		opts.BaseURL = get("ANTHROPIC_BEDROCK_BASE_URL")
		opts.Account = joinAccount(get("AWS_PROFILE"), get("AWS_ACCESS_KEY_ID"), get("AWS_ROLE_ARN"), llm.Namespace(get("AWS_BEARER_TOKEN_BEDROCK")))
		if opts.Region == "" {
			return opts, llm.NewError(llm.CodeInvalid, "CLAUDE_CODE_USE_BEDROCK is set without a region: set AWS_REGION", nil)
		}
		return opts, nil
	case isTrue(get("CLAUDE_CODE_USE_VERTEX")):
		opts.Backend = BackendVertex
		opts.Region = get("CLOUD_ML_REGION")
		opts.ProjectID = get("ANTHROPIC_VERTEX_PROJECT_ID")
		opts.BaseURL = get("ANTHROPIC_VERTEX_BASE_URL")
		opts.Account = get("GOOGLE_APPLICATION_CREDENTIALS")
		if opts.Region == "" || opts.ProjectID == "" {
			return opts, llm.NewError(llm.CodeInvalid, "CLAUDE_CODE_USE_VERTEX is set without a region or project: set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID", nil)
		}
		return opts, nil
	}
	opts.BaseURL = get("ANTHROPIC_BASE_URL")
	if opts.APIKey = get("ANTHROPIC_API_KEY"); opts.APIKey != "" {
		opts.KeySource = "ANTHROPIC_API_KEY"
		return opts, nil
	}
	if opts.AuthToken = get("ANTHROPIC_AUTH_TOKEN"); opts.AuthToken != "" {
		opts.KeySource = "ANTHROPIC_AUTH_TOKEN"
		return opts, nil
	}
	if headersAuthenticate(opts.Headers) {
		opts.KeySource = "ANTHROPIC_CUSTOM_HEADERS"
		return opts, nil
	}
	return opts, ErrNoCredentials
}

// joinAccount joins the parts of an account. It returns "" if all are empty.
func joinAccount(parts ...string) string {
	if cmp.Or(parts...) == "" {
		return ""
	}
	return strings.Join(parts, accountSeparator)
}

func isTrue(v string) bool {
	return slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(v))
}

// headersAuthenticate reports whether the headers hold a credential.
func headersAuthenticate(h http.Header) bool {
	return h.Get("Authorization") != "" || h.Get("X-Api-Key") != ""
}

// parseHeaders parses lines of the form "Name: value" and skips all others.
func parseHeaders(text string) http.Header {
	var h http.Header
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			continue
		}
		if h == nil {
			h = http.Header{}
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// splitList splits a header's comma-separated list.
func splitList(v string) []string {
	var items []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
