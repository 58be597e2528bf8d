package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	maxURL       = 2000
	maxRedirects = 10
	maxPage      = 10 << 20 // bytes of a page, unpacked
	pageTimeout  = 60 * time.Second
)

// newClient returns a client whose connections go to addresses that allowed accepts.
// It uses no proxy: a proxy would resolve names itself, unchecked. roots are the
// certificates that it trusts, and resolver looks up names; nil means the system's.
func newClient(allowed func(netip.AddrPort) error, roots *x509.CertPool, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{
		Timeout:  15 * time.Second,
		Resolver: resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return allowed(at)
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    15 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 256 << 10,
			MaxIdleConns:           16,
			IdleConnTimeout:        30 * time.Second,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("stopped after %d redirects", maxRedirects)
			}
			to := req.URL
			if to.Scheme == "http" {
				to.Scheme = "https"
			}
			if !sameSite(to, via[0].URL) {
				return &redirectError{to.Redacted()}
			}
			return check(to)
		},
	}
}

// redirectError says that a page is on another host.
type redirectError struct{ to string }

func (e *redirectError) Error() string { return "redirected to " + e.to }

func sameSite(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" && p != "80" {
		return p
	}
	return "443"
}

// parseURL returns the address of a page, which is fetched over https even if the
// text says http.
func parseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the URL is longer than %d characters", maxURL)
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, fmt.Errorf("%q is not a URL; a URL has a scheme and a host: https://example.com/page", text)
	}
	if u.Scheme == "http" {
		u.Scheme = "https"
	}
	if u.Port() == "80" {
		u.Host = u.Hostname()
	}
	u.Fragment, u.RawFragment = "", ""
	return u, check(u)
}

// check reports what is wrong with the address of a page before any name is
// resolved.
func check(u *url.URL) error {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme != "https":
		return fmt.Errorf("pages are fetched over https, not %s", u.Scheme)
	case u.User != nil:
		return errors.New("a URL with a user name or a password is not fetched")
	case isAddress(host):
		return fmt.Errorf("%s is an address; name the host", host)
	case !strings.Contains(host, "."):
		return fmt.Errorf("%s is not a host on the public internet", host)
	}
	return nil
}

// isAddress reports whether a host is an IP address in any form that a resolver may
// take for one: 127.0.0.1, ::1, 127.1, 0x7f.1.
func isAddress(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || strings.Contains(host, ":") {
		return true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9'
}
