package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/claude-force/claude-force/internal/openfile"
)

// client sends the messages of one signal to a collector. Its settings are those of
// https://opentelemetry.io/docs/specs/otel/protocol/exporter.
type client struct {
	url     string
	host    string // of the url, which errors do not name: it may hold a password
	headers http.Header
	timeout time.Duration // of one message, its attempts included
	gzip    bool
	http    *http.Client
}

// Defaults of the specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
)

// Bounds of what is read: a certificate, and the answer of a collector.
const (
	maxCertificate = 1 << 20
	maxAnswer      = 64 << 10
)

// newClient returns a client for a signal, TRACES or METRICS, with the settings of
// the environment. A setting for the signal comes before one for all signals.
func newClient(signal string, getenv func(string) string) (*client, error) {
	get := func(name string) string {
		return cmp.Or(getenv("OTEL_EXPORTER_OTLP_"+signal+"_"+name), getenv("OTEL_EXPORTER_OTLP_"+name))
	}
	bad := func(name, format string, args ...any) error {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_%s (or OTEL_EXPORTER_OTLP_%s_%s) "+format, append([]any{name, signal, name}, args...)...)
	}
	c := &client{timeout: defaultTimeout, headers: http.Header{}}
	c.url = getenv("OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT")
	if c.url == "" {
		base := cmp.Or(getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), defaultEndpoint)
		c.url = strings.TrimSuffix(base, "/") + "/v1/" + strings.ToLower(signal)
	}
	u, err := url.Parse(c.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, bad("ENDPOINT", "is no URL such as %s", defaultEndpoint) // it may hold a password
	}
	c.host = u.Host
	if text := get("TIMEOUT"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 32)
		if err != nil || ms < 0 {
			return nil, bad("TIMEOUT", "is %q; it must be a number of milliseconds", text)
		}
		c.timeout = time.Duration(ms) * time.Millisecond
	}
	switch text := get("COMPRESSION"); text {
	case "", "none":
	case "gzip":
		c.gzip = true
	default:
		return nil, bad("COMPRESSION", "is %q; known are gzip and none", text)
	}
	for pair := range strings.SplitSeq(get("HEADERS"), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || strings.TrimSpace(name) == "" {
			return nil, bad("HEADERS", "must be a list such as name=value,other=value") // a value may be a key
		}
		c.headers.Set(strings.TrimSpace(name), value)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = tlsSettings(get); err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// tlsSettings returns the settings of TLS.
func tlsSettings(get func(string) string) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := get("CERTIFICATE"); path != "" {
		pem, err := openfile.Read(path, maxCertificate)
		if err != nil {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate in PEM form", path)
		}
	}
	cert, key := get("CLIENT_CERTIFICATE"), get("CLIENT_KEY")
	if cert == "" && key == "" {
		return settings, nil
	}
	certPEM, err := openfile.Read(cert, maxCertificate)
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: %w", err)
	}
	keyPEM, err := openfile.Read(key, maxCertificate)
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CLIENT_KEY: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: %w", err)
	}
	settings.Certificates = []tls.Certificate{pair}
	return settings, nil
}

// Start does nothing: a connection is made when there is something to send.
func (c *client) Start(context.Context) error { return nil }

// Stop closes the connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData has the encoding of ExportTraceServiceRequest, whose package links gRPC.
	return c.send(ctx, &tracepb.TracesData{ResourceSpans: spans})
}

// send sends a message. It sends it again while the collector is busy or cannot be
// reached, until the timeout.
func (c *client) send(ctx context.Context, message proto.Message) error {
	body, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding telemetry: %w", err)
	}
	if c.gzip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err = w.Write(body); err == nil {
			err = w.Close()
		}
		if err != nil {
			return fmt.Errorf("compressing telemetry: %w", err)
		}
		body = packed.Bytes()
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	answer, err := backoff.Retry(ctx, func() ([]byte, error) { return c.post(ctx, body) }, backoff.WithMaxElapsedTime(c.timeout))
	if err != nil {
		return err
	}
	if rejected, why := partial(answer); rejected != 0 || why != "" {
		otel.Handle(fmt.Errorf("the collector at %s rejected %d items: %s", c.host, rejected, why))
	}
	return nil
}

// post makes one attempt. The error says whether another may succeed.
func (c *client) post(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header = c.headers.Clone()
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = fmt.Errorf("%s: %w", c.host, failed.Err) // without the URL, which may hold a password
		if !failed.Temporary() {
			err = backoff.Permanent(err) // no collector is there: a command that ends must not wait for one
		}
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 == 2:
		return answer, nil // also if its rest is lost
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusBadGateway ||
		resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusGatewayTimeout:
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			return nil, backoff.RetryAfter(seconds)
		}
		return nil, fmt.Errorf("%s answered %s", c.host, resp.Status)
	}
	return nil, backoff.Permanent(errors.Join(fmt.Errorf("%s answered %s", c.host, resp.Status), err))
}

// partial returns what a collector says of a message that it took in part: how many
// items it rejected, and why. The message is ExportTraceServiceResponse or
// ExportMetricsServiceResponse, which have the same encoding.
func partial(answer []byte) (rejected int64, why string) {
	fields(answer, func(number protowire.Number, _ uint64, success []byte) {
		if number != 1 {
			return
		}
		fields(success, func(number protowire.Number, n uint64, text []byte) {
			switch number {
			case 1:
				rejected = int64(n)
			case 2:
				why = string(text)
			}
		})
	})
	return rejected, why
}

// fields calls yield for each field of a message that is a number or bytes.
func fields(message []byte, yield func(number protowire.Number, n uint64, bytes []byte)) {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		switch kind {
		case protowire.VarintType:
			n, size := protowire.ConsumeVarint(message)
			if size < 0 {
				return
			}
			yield(number, n, nil)
			message = message[size:]
		case protowire.BytesType:
			text, size := protowire.ConsumeBytes(message)
			if size < 0 {
				return
			}
			yield(number, 0, text)
			message = message[size:]
		default:
			size := protowire.ConsumeFieldValue(number, kind, message)
			if size < 0 {
				return
			}
			message = message[size:]
		}
	}
}
