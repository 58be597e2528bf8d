package anthropic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// setupError returns the error for a call without a response.
func (c *Client) setupError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	// Errors of the backends and of the caller's transport are more precise.
	if e, ok := errors.AsType[*llm.Error](err); ok {
		return e
	}
	_, sending := errors.AsType[*url.Error](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case sending || network:
		return c.networkError(err)
	case c.opts.Backend != BackendAnthropic:
		// The SDK's backends return plain errors when they find no credential.
		return llm.NewError(llm.CodeAuth, fmt.Sprintf("the %s cannot be used: %s", c.opts.credentialName(), c.clean(err.Error(), nil)), nil)
	}
	return llm.NewError(llm.CodeInternal, "preparing the call: "+c.clean(err.Error(), nil), nil)
}

// networkError returns the error for a failed connection.
func (c *Client) networkError(err error) error {
	// The URL in the error may contain a password.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	hint := "check the network, HTTPS_PROXY and ANTHROPIC_BASE_URL"
	if c.opts.BaseURL != "" {
		hint = "check ANTHROPIC_BASE_URL"
	}
	var message string
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isTLS := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case isDNS:
		message = fmt.Sprintf("cannot find the host %s: %s", dns.Name, hint)
	case errors.Is(err, syscall.ECONNREFUSED):
		message = fmt.Sprintf("%s refuses connections: %s", c.host, hint)
	case isTLS:
		message = fmt.Sprintf("the certificate of %s is not trusted: %s", c.host, hint)
	case isNet && timeout.Timeout():
		message = fmt.Sprintf("%s does not answer in time: %s", c.host, hint)
	default:
		message = fmt.Sprintf("the connection to %s broke: %s", c.host, c.clean(err.Error(), nil))
	}
	return llm.NewError(llm.CodeConnection, message, err)
}

// retryAfter returns the wait that the headers request, negative if they
// request none.
func retryAfter(h http.Header) time.Duration {
	if d := parseUnits(h.Get("Retry-After-Ms"), time.Millisecond); d >= 0 {
		return d
	}
	v := h.Get("Retry-After")
	if d := parseUnits(v, time.Second); d >= 0 {
		return d
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return -1
}

// parseUnits returns the number v times unit, at most a year. It returns a
// negative duration if v is not a nonnegative number.
func parseUnits(v string, unit time.Duration) time.Duration {
	const maxWait = 365 * 24 * time.Hour
	f, err := strconv.ParseFloat(v, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(f) || f < 0 {
		return -1
	}
	return time.Duration(min(f*float64(unit), float64(maxWait)))
}
