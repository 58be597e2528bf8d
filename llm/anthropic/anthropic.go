// Package anthropic is the [llm.Model] that asks Claude, over the official Go
// SDK.
//
//	opts, err := anthropic.FromEnv(os.Getenv)
//	…
//	model, err := anthropic.New(opts)
//	…
//	for ev, err := range model.Stream(ctx, req) { … }
//
// Every call is streamed, whatever the caller does with the pieces: only so
// may an answer be as long as the model allows. The body is written here,
// from the [llm.Request], and the events are read here, so that fields, blocks
// and events the SDK has no name for pass unharmed; the SDK signs, addresses
// and sends. What holds:
//
//   - One call is one HTTP request. Nothing is retried here.
//   - An answer is yielded only if its message_stop arrived; a stream that
//     ends before is an error.
//   - Every error is an [*llm.Error]. None holds a credential, nor a longer
//     piece of the prompt, even if the service quotes one.
//   - Nothing is read from the process's environment except through
//     [FromEnv]. The backends in the packages bedrock and vertex read that of
//     their own clouds.
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

// Options says whom to ask and as whom. The zero value lacks a credential;
// see [FromEnv].
type Options struct {
	APIKey    string
	AuthToken string // sent if there is no APIKey

	// KeySource is where the credential was found, such as
	// "ANTHROPIC_API_KEY" or "claude-force.yaml". It appears in error messages.
	KeySource string

	// BaseURL is the root under which /v1/messages is served; empty means the
	// backend's own. A path in it is kept.
	BaseURL string

	// Backend is one of the Backend constants; empty means BackendAnthropic.
	// The others need SDKOptions.
	Backend   string
	Region    string // Bedrock and Vertex
	ProjectID string // Vertex

	// Account is what tells one Bedrock or Vertex account from another, such
	// as a profile's name; it holds no secret. Keys depend on it; it is not sent.
	Account string

	// HTTPClient sends the requests. Nil means one made for many parallel
	// streams: no overall timeout, no redirects followed.
	HTTPClient *http.Client

	// Headers are sent with every call and replace headers of the same name,
	// the credential included. Keys depend on them.
	Headers http.Header

	// Betas are sent with every call, beside those of the request. Keys depend
	// on them.
	Betas []string

	// Silence is how long a stream may say nothing, not even a ping, before
	// the call fails with [llm.CodeConnection]. 0 means 5 minutes; negative
	// means without end. It is counted from the response's headers on.
	Silence time.Duration

	// SDKOptions makes the SDK's options for a backend; see the packages
	// bedrock and vertex. It is called on the first call, and again on the
	// next one if it fails. The context has that call's values but does not end
	// with it.
	SDKOptions func(ctx context.Context) ([]option.RequestOption, error)

	// OnHeaders, if set, sees the request as Stream was given it, and the status and headers of every response, such as
	// the rate limits, before anything of it is yielded. It runs on the call's
	// goroutine and must not keep or change the headers.
	OnHeaders func(req *llm.Request, status int, header http.Header)
}

// Client is a [llm.Model]. It is safe for concurrent use.
type Client struct {
	opts    Options
	host    string   // who is asked, for error messages
	secrets []string // never to be shown

	mu   sync.Mutex // guards the field below
	send sender     // nil before the first call
}

// New checks opts and makes a client. It opens nothing and constructs nothing
// of the SDK: that waits for the first call, so that a process whose answers
// are all cached does not pay for it. Without a credential the error is
// [ErrNoCredentials].
func New(opts Options) (*Client, error) {
	opts, err := opts.normalized()
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, host: opts.host()}
	c.secrets = append(c.secrets, opts.APIKey, opts.AuthToken)
	for _, values := range opts.Headers {
		for _, v := range values {
			// The scheme of an Authorization header is no secret.
			if _, token, ok := strings.Cut(v, " "); ok {
				c.secrets = append(c.secrets, token)
			}
			c.secrets = append(c.secrets, v)
		}
	}
	return c, nil
}

// normalized is o with defaults filled in, or what is wrong with it.
func (o Options) normalized() (Options, error) {
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
			return o, llm.NewError(llm.CodeInvalid, fmt.Sprintf("the backend %s needs the options of its own package", o.Backend), nil)
		}
	default:
		return o, llm.NewError(llm.CodeInvalid, fmt.Sprintf("unknown backend %q: use %s, %s or %s", o.Backend, BackendAnthropic, BackendBedrock, BackendVertex), nil)
	}
	if strings.ContainsFunc(o.credential(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return o, llm.NewError(llm.CodeAuth, fmt.Sprintf("the %s holds a character no credential has (a space, a line break or a quotation mark of a text processor?): copy it again", o.credentialName()), nil)
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

// credentialName says what is sent as a credential and where it came from,
// without showing it.
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

// Keyer computes the keys of calls made with these options. It is cheap.
func (c *Client) Keyer() llm.Keyer { return c.opts.keyer() }

// Keyer computes the keys of calls that a [Client] with opts makes. It is
// cheap: no network, no cloud configuration, nothing of the SDK. It needs no
// credential.
func Keyer(opts Options) llm.Keyer {
	// Whatever is wrong with the options, New says so before a call is made.
	opts, _ = opts.normalized()
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
	who := o.credential()
	if o.Backend != BackendAnthropic {
		who = strings.Join([]string{o.Backend, o.Region, o.ProjectID, o.Account}, accountSeparator)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		who += fmt.Sprintf("\n%s: %q", name, o.Headers[name])
	}
	k.Namespace = llm.Namespace(who)
	return k
}

// sender sends one request with the SDK. The SDK's own client is not kept: a
// field of its type would make the linker keep all methods of all its services,
// which are twenty megabytes, in every program that links this package.
type sender func(ctx context.Context, method, path string, body, res any, opts ...option.RequestOption) error

// sender is the SDK's way to send, made on the first call.
func (c *Client) sender(ctx context.Context) (sender, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.send != nil {
		return c.send, nil
	}
	httpClient := c.opts.HTTPClient
	if httpClient == nil {
		httpClient = newHTTPClient()
	}
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
	// A backend's options set its own address; ours, if any, replaces it.
	if c.opts.BaseURL != "" {
		options = append(options, option.WithBaseURL(c.opts.BaseURL))
	}
	api := sdk.Client{Options: options}
	c.send = api.Execute
	return c.send, nil
}
