// Package prom keeps counters and histograms and writes them in the text format
// that Prometheus reads.
//
//	reg := prom.NewRegistry()
//	calls := reg.Counter("claude_force_calls_total", "Calls that have ended.", "source")
//	calls.Add(1, "live")
//	http.Handle("/metrics", reg)
//
// It has what this project counts and no more: no gauges that are functions, no
// summaries, no pushing. Prometheus's own client would add to the start-up of
// every command; see docs/dependencies.md.
package prom

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Registry is a set of metrics. It is safe for concurrent use, and an
// [http.Handler] that serves them.
type Registry struct {
	mu       sync.Mutex // guards everything in the families too
	families []*family
}

// NewRegistry returns a registry without metrics.
func NewRegistry() *Registry { return &Registry{} }

// family is one metric with all its label values.
type family struct {
	reg              *Registry
	name, help, kind string
	labels           []string
	bounds           []float64 // of a histogram, ascending
	series           map[string]*series
}

type series struct {
	values []string // of the labels
	sum    float64
	counts []uint64 // of a histogram: observations at most each bound, then the rest
}

// Counter is a metric that only grows.
type Counter struct{ f *family }

// Gauge is a metric that goes up and down.
type Gauge struct{ f *family }

// Histogram counts observations by size.
type Histogram struct{ f *family }

// Counter adds a counter; its name ends in _total. A metric without labels is
// shown as 0 from the start.
func (r *Registry) Counter(name, help string, labels ...string) *Counter {
	return &Counter{r.add(name, help, "counter", nil, labels)}
}

// Gauge adds a gauge.
func (r *Registry) Gauge(name, help string, labels ...string) *Gauge {
	return &Gauge{r.add(name, help, "gauge", nil, labels)}
}

// Histogram adds a histogram whose buckets end at bounds, which ascend.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) *Histogram {
	return &Histogram{r.add(name, help, "histogram", bounds, labels)}
}

func (r *Registry) add(name, help, kind string, bounds []float64, labels []string) *family {
	f := &family{reg: r, name: name, help: help, kind: kind, labels: labels, bounds: bounds, series: map[string]*series{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(labels) == 0 {
		f.at(nil)
	}
	r.families = append(r.families, f)
	return f
}

// at returns the series of some label values, which stand in the order of the labels.
// What is missing is empty.
func (f *family) at(values []string) *series {
	key := strings.Join(values, "\xff") // no byte of valid UTF-8
	s := f.series[key]
	if s == nil {
		s = &series{values: slices.Clone(values)}
		if f.kind == "histogram" {
			s.counts = make([]uint64, len(f.bounds)+1)
		}
		f.series[key] = s
	}
	return s
}

// Add adds v to the series of the label values. Negative v is left out, as a
// counter never falls.
func (c *Counter) Add(v float64, values ...string) {
	c.f.reg.mu.Lock()
	defer c.f.reg.mu.Unlock()
	if s := c.f.at(values); v > 0 {
		s.sum += v
	}
}

// Set gives the series of the label values a value.
func (g *Gauge) Set(v float64, values ...string) {
	g.f.reg.mu.Lock()
	defer g.f.reg.mu.Unlock()
	g.f.at(values).sum = v
}

// Observe counts v in the series of the label values.
func (h *Histogram) Observe(v float64, values ...string) {
	h.f.reg.mu.Lock()
	defer h.f.reg.mu.Unlock()
	s := h.f.at(values)
	i, _ := slices.BinarySearch(h.f.bounds, v)
	s.counts[i]++
	s.sum += v
}

// ContentType is that of the text format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP serves the metrics.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", ContentType)
	_, _ = r.WriteTo(w) // a client that has gone misses nothing
}

// WriteTo writes all metrics, series in the order of their label values.
func (r *Registry) WriteTo(w io.Writer) (int64, error) {
	var out bytes.Buffer // so that a slow reader holds nobody up
	r.mu.Lock()
	for _, f := range r.families {
		f.write(&out)
	}
	r.mu.Unlock()
	return out.WriteTo(w)
}

func (f *family) write(out *bytes.Buffer) {
	if len(f.series) == 0 {
		return
	}
	fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, helpEscaper.Replace(f.help), f.name, f.kind)
	for _, key := range slices.Sorted(maps.Keys(f.series)) {
		s := f.series[key]
		if f.kind != "histogram" {
			f.line(out, "", s, "", s.sum)
			continue
		}
		total := uint64(0)
		for i, n := range s.counts {
			total += n
			le := math.Inf(1)
			if i < len(f.bounds) {
				le = f.bounds[i]
			}
			f.line(out, "_bucket", s, number(le), float64(total))
		}
		f.line(out, "_sum", s, "", s.sum)
		f.line(out, "_count", s, "", float64(total))
	}
}

func (f *family) line(out *bytes.Buffer, suffix string, s *series, le string, v float64) {
	out.WriteString(f.name + suffix)
	var labels []string
	for i, name := range f.labels {
		value := ""
		if i < len(s.values) {
			value = s.values[i]
		}
		labels = append(labels, name+`="`+labelEscaper.Replace(value)+`"`)
	}
	if le != "" {
		labels = append(labels, `le="`+le+`"`)
	}
	if len(labels) > 0 {
		out.WriteString("{" + strings.Join(labels, ",") + "}")
	}
	out.WriteString(" " + number(v) + "\n")
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
