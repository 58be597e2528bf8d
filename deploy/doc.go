// Package deploy holds what servers are run with: a container image, a compose file,
// manifests for Kubernetes, rules for Prometheus and a dashboard for Grafana. Its tests
// check that these fit the program: every metric that they name is one it has.
package deploy
