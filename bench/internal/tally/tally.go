// Package tally prints what a program that kills others has counted.
package tally

import (
	"fmt"
	"os"
	"text/tabwriter"
)

// Table is a list of counts. The zero value is empty.
type Table struct{ rows []row }

type row struct {
	name string
	n    int
}

// Add adds a count.
func (t *Table) Add(name string, n int) { t.rows = append(t.rows, row{name, n}) }

// Print prints the counts, and then what is wrong.
func (t *Table) Print(problems []string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%d\t\n", r.name, r.n)
	}
	_ = w.Flush()
	for _, p := range problems {
		fmt.Println(p)
	}
}
