package mcpserver

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/server"
)

// Mount adds the protocol's streamable HTTP to a server, at /mcp, behind its guard.
//
// It keeps no sessions: what a client needs to continue is the id of a run, which is good
// after a restart of the server too.
func Mount(srv *server.Server, version string) {
	s := New(srv, version)
	protocol := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{
		Stateless: true, PropagateRequestCancellation: true,
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveHTTP(protocol, w, r) })
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		srv.Handle(method+" /mcp", handler)
	}
}

// serveHTTP hands a request to the protocol.
func serveHTTP(protocol http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // the guard bounds it
	if err != nil {
		status := http.StatusBadRequest
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the request cannot be read", status)
		return
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	// The guard has compared the host with those that the server answers to. The
	// protocol's own check of it, which stays on, knows loopback names alone.
	r.Host = "localhost"
	protocol.ServeHTTP(w, r)
}
