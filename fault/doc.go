// Package fault says what kind of error an error is, so that the command line
// and a server can choose an exit code, a status and a hint without knowing
// where it comes from. It imports only the standard library.
package fault
