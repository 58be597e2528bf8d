// Command temporalserver is a Temporal server of one process for tests and for trying
// things out: all services, state in one SQLite file. Killed at any moment, it continues
// from that file when it is started with the same address. It is a module of its own, since it
// depends on more than all of the project.
//
//	temporalserver -addr 127.0.0.1:7233 -db temporal.db
//
// It prints its address once it takes requests, and ends when its input does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "take requests at this `ADDRESS`")
	db := flag.String("db", "", "keep the state in this SQLite `FILE`")
	namespace := flag.String("namespace", "default", "the namespace that there is")
	level := flag.String("log", "fatal", "log lines of this `LEVEL` and above go to the standard error")
	flag.Parse()
	if err := run(*addr, *db, *namespace, *level); err != nil {
		fmt.Fprintln(os.Stderr, "temporalserver:", err)
		os.Exit(1)
	}
}

func run(addr, db, namespace, level string) error {
	if db == "" {
		return errors.New("-db is needed: the file for the state")
	}
	sql := &config.SQL{
		PluginName:        sqlite.PluginName,
		DatabaseName:      db,
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "normal", "busy_timeout": "10000"},
	}
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) {
		if err := sqliteschema.SetupSchema(sql); err != nil {
			return fmt.Errorf("creating %s: %w", db, err)
		}
	}
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err != nil {
		return fmt.Errorf("preparing the namespace: %w", err)
	}
	if err := sqliteschema.CreateNamespaces(sql, ns); err != nil {
		return fmt.Errorf("creating the namespace: %w", err)
	}
	addr, services, hosts, err := listeners(addr)
	if err != nil {
		return err
	}
	cfg := serverConfig(addr, services, sql)
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{Level: level}))),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{}),
	)
	if err != nil {
		return fmt.Errorf("preparing the server: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	if err := ready(addr, namespace); err != nil {
		return errors.Join(err, server.Stop())
	}
	fmt.Println(addr)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return errors.Join(fmt.Errorf("reading the input: %w", err), server.Stop())
	}
	return server.Stop()
}

const clusterName = "active"

// listeners returns the address of the frontend, and for each service where it listens.
// The services have static hosts: there is no membership to recover after a crash.
func listeners(addr string) (string, map[string]config.Service, map[primitives.ServiceName]static.Hosts, error) {
	services := map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range []primitives.ServiceName{primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService} {
		at := "127.0.0.1:0"
		if name == primitives.FrontendService {
			at = addr
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			return "", nil, nil, fmt.Errorf("finding a port: %w", err)
		}
		defer l.Close() // once all have a port of their own
		tcp := l.Addr().(*net.TCPAddr)
		services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: tcp.Port, BindOnIP: tcp.IP.String()}}
		hosts[name] = static.SingleLocalHost(tcp.String())
		if name == primitives.FrontendService {
			addr = tcp.String()
		}
	}
	return addr, services, hosts, nil
}

func serverConfig(addr string, services map[string]config.Service, sql *config.SQL) *config.Config {
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqlite.PluginName,
			VisibilityStore:  sqlite.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqlite.PluginName: {SQL: sql}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: addr},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		PublicClient:        config.PublicClient{HostPort: addr},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
}

// ready returns once the server has described the namespace.
func ready(addr, namespace string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", addr, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		_, err := workflowservice.NewWorkflowServiceClient(conn).DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server: %w", err)
		case <-tick.C:
		}
	}
}
