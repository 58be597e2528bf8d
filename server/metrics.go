package server

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claude-force/claude-force/journal"
)

// metrics counts what the server does.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// addMetrics adds the metrics of the server to a registry, and the route that shows all
// that the registry has.
func (s *Server) addMetrics(reg *prometheus.Registry) {
	s.metrics = &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "claude_force_http_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "claude_force_http_request_duration_seconds", Help: "How long requests took, streams of events left out.",
			Buckets: []float64{0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60},
		}, []string{"route"}),
	}
	reg.MustRegister(s.metrics.requests, s.metrics.seconds, &openRuns{s: s})
	if s.opts.Webhooks != nil {
		s.webhookMetrics = newWebhookMetrics(s.runner.ctx, s.opts.Webhooks)
		reg.MustRegister(s.webhookMetrics)
	}
	s.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
}

// count counts a request for a route, empty for none.
func (m *metrics) count(route string, w *statusWriter, took time.Duration) {
	if m == nil {
		return
	}
	route = cmp.Or(route, "none")
	m.requests.WithLabelValues(route, strconv.Itoa(w.status)).Inc()
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
		m.seconds.WithLabelValues(route).Observe(took.Seconds())
	}
}

// openRuns collects how many runs of the store have not ended.
type openRuns struct{ s *Server }

var openRunsDesc = prometheus.NewDesc("claude_force_open_runs", "Runs of the store that have not ended, by status; those that crashed count as what they did then.", []string{"status"}, nil)

// openRunsTime bounds how long runs are counted.
const openRunsTime = 5 * time.Second

// Describe implements [prometheus.Collector].
func (c *openRuns) Describe(descs chan<- *prometheus.Desc) { descs <- openRunsDesc }

// Collect implements [prometheus.Collector].
func (c *openRuns) Collect(list chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.s.runner.ctx, openRunsTime)
	defer cancel()
	statuses := []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}
	count := map[journal.Status]int{}
	for run, err := range c.s.store.Runs(ctx, journal.Filter{Statuses: statuses}) {
		if err != nil {
			list <- prometheus.NewInvalidMetric(openRunsDesc, err)
			return
		}
		count[run.Status]++
	}
	for _, status := range statuses {
		list <- prometheus.MustNewConstMetric(openRunsDesc, prometheus.GaugeValue, float64(count[status]), string(status))
	}
}
