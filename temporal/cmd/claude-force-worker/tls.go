package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/openfile"
)

// security says how the connection to Temporal is encrypted.
type security struct {
	on        bool
	ca        string // file
	name      string // of the server
	cert, key string // files
}

func (s *security) register(flags *flag.FlagSet) {
	flags.BoolVar(&s.on, "tls", os.Getenv(apiKeyVar) != "", "encrypt the connection to Temporal; the default if "+apiKeyVar+" or another of these flags is set")
	flags.StringVar(&s.ca, "tls-ca", "", "`FILE` of the authorities that the server's certificate may be of, instead of the system's")
	flags.StringVar(&s.name, "tls-server-name", "", "`NAME` that the server's certificate must have, instead of the host's")
	flags.StringVar(&s.cert, "tls-cert", "", "`FILE` of the worker's certificate, for mutual TLS")
	flags.StringVar(&s.key, "tls-key", "", "`FILE` of the certificate's key")
}

// maxCertificates bounds the file with authorities, of which a system has some hundred kB.
const maxCertificates = 16 << 20

// config returns the configuration of TLS. It is nil if the connection is not encrypted.
func (s *security) config() (*tls.Config, error) {
	if !s.on && s.ca == "" && s.name == "" && s.cert == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.name}
	if s.ca != "" {
		pem, err := openfile.ReadTyped(s.ca, maxCertificates)
		if err != nil {
			return nil, fault.Input(fmt.Errorf("-tls-ca: %w", err))
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.Input(fmt.Errorf("-tls-ca: %s has no certificate in PEM", s.ca))
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fault.Input(fmt.Errorf("-tls-cert and -tls-key: %w", err))
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// probeTime bounds how long it may take to find out why a connection failed.
const probeTime = 5 * time.Second

// whyNot returns why no connection to a server is possible with a configuration of TLS, which
// may be nil. It returns failed, the error of the client, if it finds no reason.
func whyNot(ctx context.Context, address string, cfg *tls.Config, failed error) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || ctx.Err() != nil {
		return failed // an address of another form, which the client resolves
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it was a trial
	probe := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg != nil {
		probe = cfg.Clone()
	}
	probe.NextProtos = []string{"h2"}
	if probe.ServerName == "" {
		probe.ServerName = host
	}
	asked := false // for a certificate
	probe.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		for i := range probe.Certificates {
			if request.SupportsCertificate(&probe.Certificates[i]) == nil {
				return &probe.Certificates[i], nil
			}
		}
		return &tls.Certificate{}, nil
	}
	secure := tls.Client(conn, probe)
	err = secure.HandshakeContext(ctx)
	if cfg == nil {
		if _, verified := errors.AsType[*tls.CertificateVerificationError](err); err == nil || verified || isAlert(err) {
			return fault.Input(errors.New("the server encrypts its connections: add -tls"))
		}
		return failed
	}
	if err == nil {
		err = refused(ctx, secure)
	}
	if why := refusal(err, asked); why != nil {
		return fault.Input(why)
	}
	return failed
}

// refused returns the error by which a server refuses a connection after the handshake, as one
// of TLS 1.3 refuses a certificate, or nil.
func refused(ctx context.Context, conn *tls.Conn) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" // and empty settings
	if _, err := conn.Write([]byte(preface)); err != nil && !isAlert(err) {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// isAlert reports whether an error is a message of TLS by which the server ends a connection.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// refusal returns what an error of TLS means and what to do, or nil if it is no reason to give
// up. The server may have asked for a certificate.
func refusal(err error, asked bool) error {
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return errors.New("the server does not encrypt its connections: leave out the flags that begin with -tls, or pass -tls=false if " + apiKeyVar + " is set")
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return fmt.Errorf("the server's certificate is of an authority that is not trusted here: give the file with the authority's certificate as -tls-ca: %w", err)
	}
	if _, other := errors.AsType[x509.HostnameError](err); other {
		return fmt.Errorf("the server's certificate is for another name: connect to a name that it has, or give one as -tls-server-name: %w", err)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("the server's certificate is valid at another time: renew it, or set the clock of this machine: %w", err)
	}
	if _, invalid := errors.AsType[*tls.CertificateVerificationError](err); invalid {
		return fmt.Errorf("the server's certificate is not valid: %w", err)
	}
	switch {
	case isAlert(err) && asked:
		return fmt.Errorf("the server wants a certificate of the worker that is valid and of an authority that it trusts: give one as -tls-cert and -tls-key: %w", err)
	case isAlert(err):
		return fmt.Errorf("the server refuses the connection: %w", err)
	}
	return nil
}
