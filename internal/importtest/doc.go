// Package importtest holds the rule of which package may import which, as a
// test. See importtest_test.go for the rule itself.
package importtest
