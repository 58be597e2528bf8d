// Package wordtest tests the words of the code: function comments say what a
// function does.
package wordtest
