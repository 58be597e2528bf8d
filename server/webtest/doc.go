// Package webtest tests the pages of the server in a browser.
package webtest
