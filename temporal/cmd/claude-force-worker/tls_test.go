package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/temporal/temporaltest"
)

var onServer = flag.Bool("server", false, "connect to a real Temporal server, which is built if it is not there")

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // with its certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	a.file, a.key = a.sign(name, a.cert)
	return a
}

// sign writes a certificate and its key, and returns the certificate's file. That of the key is
// beside it.
func (a *authority) sign(name string, cert *x509.Certificate) (file string, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key // its own
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	file = filepath.Join(a.dir, name+".pem")
	for file, block := range map[string]*pem.Block{file: {Type: "CERTIFICATE", Bytes: der}, keyOf(file): {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return file, key
}

func keyOf(file string) string { return strings.TrimSuffix(file, ".pem") + ".key" }

// issue writes a certificate that is valid until a time from now.
func (a *authority) issue(name string, valid time.Duration, hosts ...string) (file string) {
	a.t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert.DNSNames = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return net.ParseIP(h) != nil })
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		}
	}
	file, _ = a.sign(name, cert)
	return file
}

// plainServer returns the address of a server that does not encrypt its connections.
func plainServer(t *testing.T) string {
	t.Helper()
	if *onServer {
		return temporaltest.Start(t).Address
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, workflowservice.UnimplementedWorkflowServiceServer{})
	go func() { _ = server.Serve(listener) }() // until Stop
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// inFront returns the address of a listener that ends TLS before a server.
func inFront(t *testing.T, server string, cfg *tls.Config) string {
	t.Helper()
	cfg.NextProtos = []string{"h2"}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close() // which ends the loop
		all.Wait()
	})
	ctx := t.Context()
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(ctx, conn.(*tls.Conn), server) })
		}
	})
	return listener.Addr().String()
}

// pass passes on what goes over a connection, until it ends or ctx does.
func pass(ctx context.Context, conn *tls.Conn, server string) {
	defer conn.Close()
	if conn.HandshakeContext(ctx) != nil {
		return
	}
	behind, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer behind.Close()
	defer context.AfterFunc(ctx, func() { _, _ = conn.Close(), behind.Close() })()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(conn, behind); _ = conn.Close() })
	both.Go(func() { _, _ = io.Copy(behind, conn); _ = behind.Close() })
	both.Wait()
}

// certified returns a configuration of a server with a certificate.
func certified(t *testing.T, file string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(file, keyOf(file))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
}

// closed is an address at which nothing listens: no system gives its port to who asks for any.
const closed = "127.0.0.1:1"

// TestTLS connects over the wire to servers with and without TLS. A connection that can never
// be made is one error that says what to do.
func TestTLS(t *testing.T) {
	t.Parallel()
	const local = "127.0.0.1"
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	server := plainServer(t)
	good := inFront(t, server, certified(t, ours.issue("good", time.Hour, local)))
	named := inFront(t, server, certified(t, ours.issue("named", time.Hour, "temporal.internal")))
	expired := inFront(t, server, certified(t, ours.issue("expired", -time.Hour, local)))
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ours.file))
	mutual := map[string]string{}
	for name, most := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		cfg := certified(t, ours.issue("mutual"+name, time.Hour, local))
		cfg.ClientAuth, cfg.ClientCAs, cfg.MaxVersion = tls.RequireAndVerifyClientCert, pool, most
		mutual[name] = inFront(t, server, cfg)
	}
	worker, late, stranger := ours.issue("worker", time.Hour), ours.issue("late", -time.Hour), other.issue("stranger", time.Hour)

	type test struct {
		at    string
		flags []string
		want  string // in the error; empty if it connects
		kind  fault.Kind
	}
	cert := func(file string) []string {
		return []string{"-tls-ca", ours.file, "-tls-cert", file, "-tls-key", keyOf(file)}
	}
	tests := map[string]test{
		"plain":                     {at: server},
		"private authority":         {at: good, flags: []string{"-tls-ca", ours.file}},
		"name given":                {at: named, flags: []string{"-tls-ca", ours.file, "-tls-server-name", "temporal.internal"}},
		"TLS wanted of plain":       {server, []string{"-tls"}, "does not encrypt", fault.KindInput},
		"plain wanted of TLS":       {good, nil, "add -tls", fault.KindInput},
		"plain wanted of mutual":    {mutual["1.3"], nil, "add -tls", fault.KindInput},
		"unknown authority":         {good, []string{"-tls"}, "as -tls-ca", fault.KindInput},
		"another authority":         {good, []string{"-tls-ca", other.file}, "as -tls-ca", fault.KindInput},
		"another name":              {named, []string{"-tls-ca", ours.file}, "as -tls-server-name", fault.KindInput},
		"another name given":        {good, []string{"-tls-ca", ours.file, "-tls-server-name", "temporal.internal"}, "as -tls-server-name", fault.KindInput},
		"expired":                   {expired, []string{"-tls-ca", ours.file}, "valid at another time", fault.KindInput},
		"nothing there":             {closed, []string{"-tls-ca", ours.file}, "refused", 0},
		"file is not there":         {good, []string{"-tls-ca", filepath.Join(ours.dir, "none.pem")}, "-tls-ca: ", fault.KindInput},
		"file is not a certificate": {good, []string{"-tls-ca", keyOf(ours.file)}, "no certificate in PEM", fault.KindInput},
		"key of another":            {good, []string{"-tls-ca", ours.file, "-tls-cert", worker, "-tls-key", keyOf(stranger)}, "-tls-cert and -tls-key: ", fault.KindInput},
	}
	for version, at := range mutual {
		tests["mutual "+version] = test{at: at, flags: cert(worker)}
		tests["no certificate for "+version] = test{at, []string{"-tls-ca", ours.file}, "as -tls-cert and -tls-key", fault.KindInput}
		tests["certificate of another authority for "+version] = test{at, cert(stranger), "as -tls-cert and -tls-key", fault.KindInput}
		tests["expired certificate for "+version] = test{at, cert(late), "as -tls-cert and -tls-key", fault.KindInput}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(append([]string{"-temporal", test.at}, test.flags...))
			if err != nil {
				t.Fatal(err)
			}
			c, err := dial(t.Context(), o, &config.Config{}, slog.New(slog.DiscardHandler), nil)
			if err == nil {
				defer c.Close()
				if *onServer {
					_, err = c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: o.namespace})
				}
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || fault.KindOf(err) != test.kind):
				t.Errorf("want an error with %q: %v", test.want, err)
			}
		})
	}
}

func mustParse(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestAddressNeedsAPort checks that an address is refused at once that Temporal's client
// would take for one of another port.
func TestAddressNeedsAPort(t *testing.T) {
	t.Parallel()
	if _, err := parse([]string{"-temporal", "temporal.example"}); !fault.Has(err, fault.KindInput) || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Error(err)
	}
}
