package server

import (
	"context"

	"github.com/claude-force/claude-force/server/web"
	"github.com/claude-force/claude-force/webhook"
)

// webhookOperations returns the operations of the API on webhooks, for pages.
func (s *Server) webhookOperations() web.WebhookOperations {
	return web.WebhookOperations{
		List: func(ctx context.Context) ([]webhook.View, error) {
			out, err := s.listWebhooks(ctx, nil)
			if err != nil {
				return nil, err
			}
			return out.Body.Webhooks, nil
		},
		Deliveries: func(ctx context.Context, name string, limit int) ([]webhook.Delivery, error) {
			out, err := s.listDeliveries(ctx, &listDeliveriesInput{name, limit})
			if err != nil {
				return nil, err
			}
			return out.Body.Deliveries, nil
		},
		Add: func(ctx context.Context, h *webhook.Hook) error {
			_, err := s.addWebhook(ctx, &struct{ Body AddWebhook }{AddWebhook{h.Name, h.URL, h.SecretEnv, h.Events}})
			return err
		},
		Remove: func(ctx context.Context, name string) error {
			_, err := s.removeWebhook(ctx, &webhookName{name})
			return err
		},
		Test: func(ctx context.Context, name string) (*webhook.TestResult, error) {
			out, err := s.testWebhook(ctx, &webhookName{name})
			if err != nil {
				return nil, err
			}
			return &out.Body, nil
		},
		Retry: func(ctx context.Context, name string) error {
			_, err := s.retryWebhook(ctx, &webhookName{name})
			return err
		},
	}
}
