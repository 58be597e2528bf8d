package main

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
)

// serveProfiles serves profiles of the process on a loopback address; nothing if it is
// empty.
func (a *app) serveProfiles(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	listener, err := listenLoopback(ctx, "--pprof", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.serveAside(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !isLoopback(host) { // a foreign name that resolves to this machine, for a page of a browser
			http.Error(w, "the profiles are for this machine", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	a.say("profiles at http://%s/debug/pprof/", listener.Addr())
	return nil
}
