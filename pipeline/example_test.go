package pipeline_test

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/pipeline"
)

func ExampleLayers() {
	fmt.Println(strings.Join(pipeline.Layers(), "\n"))
	// Output:
	// trace
	// record
	// key
	// caller's own
	// cassette
	// cache
	// coalesce
	// coalesce machines
	// fallback
	// refusals
	// budget
	// key again
	// batch
	// retry
	// prompt cache
	// hedge
	// admission
	// hedge start
	// refusals of attempts
	// budget of attempts
	// record of attempts
	// provider
}
