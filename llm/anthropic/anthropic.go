// Package anthropic implements [llm.Model] for Claude, over the official Go
// SDK.
//
//	opts, err := anthropic.FromEnv(os.Getenv)
//	…
//	model, err := anthropic.New(opts)
//	…
//	for ev, err := range model.Stream(ctx, req) { … }
//
// Every call is streamed, even if the caller only wants the final response:
// other calls limit the length of the answer. This package encodes the body
// from the [llm.Request] and decodes the events itself, so that fields, blocks
// and events unknown to the SDK are preserved. The SDK authenticates, addresses
// and sends the request. Guarantees:
//
//   - One call is one HTTP request. Nothing is retried here.
//   - An answer is yielded only after its message_stop has arrived; a stream
//     that ends earlier is an error.
//   - Every error is an [*llm.Error]. No error contains a credential or a long
//     quote from the prompt, even if the service's message does.
//   - Only [FromEnv] reads the process's environment. The backends in the
//     packages bedrock and vertex read the environment of their own clouds.
package anthropic

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm"
)

// APIVersion is the value of the anthropic-version header.
const APIVersion = "2026-10-21"

// Backends that serve Claude.
const (
	BackendAnthropic = "anthropic"
	BackendBedrock   = "bedrock"
	BackendVertex    = "vertex"
)

const defaultBaseURL = "https://api.anthropic.com"

// Options configures [New]: the endpoint and the credential. The zero value
// lacks a credential; see [FromEnv].
type Options struct {
	APIKey    string
	AuthToken string // used if APIKey is empty

	// KeySource names the origin of the credential, such as "ANTHROPIC_API_KEY"
	// or "claude-force.yaml". It appears in error messages.
	KeySource string

	// BaseURL is the URL below which /v1/messages is served; it may have a
	// path. Empty means the backend's default.
	BaseURL string

	// Backend is one of the Backend constants; empty means BackendAnthropic.
	// The others need SDKOptions.
	Backend   string
	Region    string // Bedrock and Vertex
	ProjectID string // Vertex

	// Account distinguishes Bedrock or Vertex accounts, such as by a profile's
	// name. It holds no secret. Cache keys depend on it; it is not sent.
	Account string

	// HTTPClient sends the requests. Nil means a client for many parallel
	// streams: no overall timeout, no redirects followed.
	HTTPClient *http.Client

	// Headers are sent with every call and replace headers of the same name,
	// including the credential. Cache keys depend on them.
	Headers http.Header

	// Betas are sent with every call, in addition to the request's. Cache keys
	// depend on them.
	Betas []string

	// Silence is the longest time between two events of a stream, pings
	// included, before the call fails with [llm.CodeConnection]. It starts with
	// the response's headers. 0 means 5 minutes; negative means no limit.
	Silence time.Duration

	// SDKOptions returns the SDK's options for a backend; see the packages
	// bedrock and vertex. It is called on the first call, and again on the next
	// one if it fails. Its context has the call's values but not its
	// cancellation.
	SDKOptions func(ctx context.Context) ([]option.RequestOption, error)

	// OnHeaders, if set, is called with the request, the status and the headers
	// of every response, such as the rate limits, before its first event is
	// yielded. It runs on the call's goroutine and must not keep or change the
	// headers.
	OnHeaders func(req *llm.Request, status int, header http.Header)
}

// Client is an [llm.Model]. It is safe for concurrent use.
type Client struct {
	opts    Options
	host    string        // the service, for error messages
	secrets []string      // redacted from messages
	drain   time.Duration // how long the end of a stream is waited for

	mu   sync.Mutex   // guards the fields below
	send sender       // nil before the first call
	own  *http.Client // made by the first call; nil if Options has one
}

// CloseIdleConnections frees the connections that are kept for the next calls, each of
// which is an open file. Those of [Options.HTTPClient] are its owner's.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// New validates opts and returns a client. It opens no connection and leaves
// the SDK's setup to the first call, so that a process whose answers are all
// cached does not pay for it. Without a credential the error is
// [ErrNoCredentials].
func New(opts Options) (*Client, error) {
	opts, err := opts.normalize()
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, host: opts.host(), drain: drainTime}
	c.secrets = append(c.secrets, opts.APIKey, opts.AuthToken)
	for _, values := range opts.Headers {
		for _, v := range values {
			// The scheme of an Authorization header is not secret.
			if _, token, ok := strings.Cut(v, " "); ok {
				c.secrets = append(c.secrets, token)
			}
			c.secrets = append(c.secrets, v)
		}
	}
	return c, nil
}

// normalize returns o with defaults filled in, or an error if o is invalid.
func (o Options) normalize() (Options, error) {
	o.Backend = cmp.Or(o.Backend, BackendAnthropic)
	o.Silence = cmp.Or(o.Silence, 5*time.Minute)
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	o.Betas = slices.Clone(o.Betas)
	o.Headers = o.Headers.Clone()
	if _, ok := o.Headers[betaHeader]; ok {
		for _, v := range o.Headers.Values(betaHeader) {
			o.Betas = append(o.Betas, splitList(v)...)
		}
		o.Headers.Del(betaHeader)
	}
	switch o.Backend {
	case BackendAnthropic:
		if o.credential() == "" && !headersAuthenticate(o.Headers) {
			return o, ErrNoCredentials
		}
	case BackendBedrock, BackendVertex:
		if o.SDKOptions == nil {
			return o, llm.NewError(llm.CodeInvalid, fmt.Sprintf("the backend %s needs SDKOptions: use the package llm/anthropic/%s", o.Backend, o.Backend), nil)
		}
	default:
		return o, llm.NewError(llm.CodeInvalid, fmt.Sprintf("unknown backend %q: use %s, %s or %s", o.Backend, BackendAnthropic, BackendBedrock, BackendVertex), nil)
	}
	if strings.ContainsFunc(o.credential(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return o, llm.NewError(llm.CodeAuth, fmt.Sprintf("the %s contains a character that no credential has, such as a space, a line break or a typographic quotation mark: copy it again", o.credentialName()), nil)
	}
	if o.BaseURL != "" {
		// The URL may hold a password, so the errors do not quote it.
		u, err := url.Parse(o.BaseURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return o, llm.NewError(llm.CodeInvalid, "the base URL is not an http or https URL: check ANTHROPIC_BASE_URL", nil)
		}
	}
	return o, nil
}

func (o Options) credential() string { return cmp.Or(o.APIKey, o.AuthToken) }

// credentialName returns the kind and the origin of the credential, without its
// value.
func (o Options) credentialName() string {
	var name string
	switch {
	case o.Backend == BackendBedrock:
		name = "AWS credential"
	case o.Backend == BackendVertex:
		name = "Google Cloud credential"
	case o.APIKey != "":
		name = "API key"
	case o.AuthToken != "":
		name = "auth token"
	default:
		name = "credential in the custom headers"
	}
	if o.KeySource != "" {
		name += " from " + o.KeySource
	}
	return name
}

func (o Options) host() string {
	if o.BaseURL != "" {
		if u, err := url.Parse(o.BaseURL); err == nil {
			return u.Host
		}
	}
	switch o.Backend {
	case BackendBedrock:
		return "Amazon Bedrock in " + o.Region
	case BackendVertex:
		return "Google Vertex AI in " + o.Region
	}
	return "api.anthropic.com"
}

// Keyer returns the keyer of the client's calls. It is cheap.
func (c *Client) Keyer() llm.Keyer { return c.opts.keyer() }

// Keyer returns the keyer of calls that a [Client] with opts makes. It is
// cheap: it uses no network, no cloud configuration and no SDK, and needs no
// credential.
func Keyer(opts Options) llm.Keyer {
	// New reports invalid options before any call is made.
	opts, _ = opts.normalize()
	return opts.keyer()
}

func (o Options) keyer() llm.Keyer {
	k := llm.Keyer{Provider: o.Backend, APIVersion: APIVersion}
	if o.BaseURL != "" && o.BaseURL != defaultBaseURL {
		k.Provider = o.BaseURL
		if u, err := url.Parse(o.BaseURL); err == nil {
			u.User = nil
			k.Provider = u.String()
		}
	}
	if len(o.Betas) > 0 {
		betas := slices.Clone(o.Betas)
		slices.Sort(betas)
		k.APIVersion += " " + strings.Join(slices.Compact(betas), ",")
	}
	account := o.credential()
	if o.Backend != BackendAnthropic {
		account = strings.Join([]string{o.Backend, o.Region, o.ProjectID, o.Account}, accountSeparator)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		account += fmt.Sprintf("\n%s: %q", name, o.Headers[name])
	}
	k.Namespace = llm.Namespace(account)
	return k
}

// sender sends one request with the SDK. The Client does not hold the SDK's
// client: a field of that type would make the linker keep all methods of all
// its services, twenty megabytes, in every program that links this package.
type sender func(ctx context.Context, method, path string, body, res any, opts ...option.RequestOption) error

// httpClient returns the client that sends requests. The caller holds c.mu.
func (c *Client) httpClient() *http.Client {
	if c.opts.HTTPClient != nil {
		return c.opts.HTTPClient
	}
	if c.own == nil {
		c.own = newHTTPClient()
	}
	return c.own
}

// sender returns the SDK's send function, which the first call creates.
func (c *Client) sender(ctx context.Context) (sender, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.send != nil {
		return c.send, nil
	}
	httpClient := c.httpClient()
	options := []option.RequestOption{
		option.WithEnvironmentProduction(),
		option.WithoutOpenTelemetry(),
		option.WithHTTPClient(httpClient),
		option.WithMaxRetries(0),
		option.WithHeader("anthropic-version", APIVersion),
	}
	switch {
	case c.opts.Backend != BackendAnthropic:
	case c.opts.APIKey != "":
		options = append(options, option.WithAPIKey(c.opts.APIKey))
	case c.opts.AuthToken != "":
		options = append(options, option.WithAuthToken(c.opts.AuthToken))
	}
	for name, values := range c.opts.Headers {
		options = append(options, option.WithHeaderDel(name))
		for _, v := range values {
			options = append(options, option.WithHeaderAdd(name, v))
		}
	}
	if c.opts.SDKOptions != nil {
		more, err := c.opts.SDKOptions(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		options = append(options, more...)
	}
	// A backend's options set an address; BaseURL overrides it.
	if c.opts.BaseURL != "" {
		options = append(options, option.WithBaseURL(c.opts.BaseURL))
	}
	api := sdk.Client{Options: options}
	c.send = api.Execute
	return c.send, nil
}
