// Package examples holds small programs that use claude-force, each in a folder
// of its own, and the test that runs them all against the simulator.
package examples
