package server

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claude-force/claude-force/webhook"
)

// webhookMetrics counts attempts to send to webhooks, and collects how much is still to
// be sent. Labels are names of webhooks, of which a store has at most
// [webhook.MaxHooks]; those of removed ones go.
type webhookMetrics struct {
	store    webhook.Store
	ctx      context.Context // of the server
	attempts *prometheus.CounterVec

	mu    sync.Mutex      // guards the field below
	names map[string]bool // that there are series for
}

var pendingDesc = prometheus.NewDesc("claude_force_webhook_deliveries", "Deliveries to webhooks by state: pending, and of the latest that are kept delivered and failed.", []string{"webhook", "state"}, nil)

func newWebhookMetrics(ctx context.Context, store webhook.Store) *webhookMetrics {
	return &webhookMetrics{store: store, ctx: ctx, names: map[string]bool{}, attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "claude_force_webhook_attempts_total", Help: "Attempts of this server to send an event to a webhook, by result: delivered, pending (it is tried again) or failed (it is given up).",
	}, []string{"webhook", "result"})}
}

// count counts an attempt.
func (m *webhookMetrics) count(name string, result webhook.State) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[name] = true
	m.attempts.WithLabelValues(name, string(result)).Inc()
}

// keep forgets the series of webhooks that are not in the list.
func (m *webhookMetrics) keep(list []webhook.Hook) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := m.names
	m.names = map[string]bool{}
	for i := range list {
		if name := list[i].Name; gone[name] {
			m.names[name] = true
			delete(gone, name)
		}
	}
	for name := range gone {
		m.attempts.DeletePartialMatch(prometheus.Labels{"webhook": name})
	}
}

// Describe implements [prometheus.Collector].
func (m *webhookMetrics) Describe(descs chan<- *prometheus.Desc) {
	m.attempts.Describe(descs)
	descs <- pendingDesc
}

// Collect implements [prometheus.Collector].
func (m *webhookMetrics) Collect(list chan<- prometheus.Metric) {
	m.attempts.Collect(list)
	ctx, cancel := context.WithTimeout(m.ctx, openRunsTime)
	defer cancel()
	hooks, err := m.store.List(ctx)
	for i := range hooks {
		var count map[webhook.State]int
		if count, _, err = m.store.Summary(ctx, &hooks[i]); err != nil {
			break
		}
		for _, state := range []webhook.State{webhook.Pending, webhook.Delivered, webhook.Failed} {
			list <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(count[state]), hooks[i].Name, string(state))
		}
	}
	if err != nil {
		list <- prometheus.NewInvalidMetric(pendingDesc, err)
	}
}
