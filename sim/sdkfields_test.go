package sim_test

import (
	"reflect"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/packages/respjson"
)

// missingFields returns the names of the fields that an SDK's type calls
// required and that the answer lacks.
func missingFields(path string, v reflect.Value) []string {
	var missing []string
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			missing = append(missing, missingFields(path+"[]", v.Index(i))...)
		}
	case reflect.Struct:
		sent := v.FieldByName("JSON")
		if !sent.IsValid() {
			return nil
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.Tag.Get("api") != "required" {
				continue
			}
			state := sent.FieldByName(field.Name)
			if !state.IsValid() {
				continue
			}
			f, ok := reflect.TypeAssert[respjson.Field](state)
			switch {
			case !ok:
			case f.Raw() == respjson.Omitted:
				missing = append(missing, path+"."+field.Name)
			case f.Valid():
				missing = append(missing, missingFields(path+"."+field.Name, v.Field(i))...)
			}
		}
	}
	return missing
}

// TestAnswersHaveAllFields checks that answers have every field that the types
// of the official SDK call required.
func TestAnswersHaveAllFields(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	check := func(name string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if missing := missingFields(name, reflect.ValueOf(v).Elem()); len(missing) > 0 {
			t.Errorf("%s lacks %q", name, missing)
		}
	}
	message, err := client.Messages.New(t.Context(), ask("hi"))
	check("Message", message, err)
	streamed, _, err := drain(t, client, ask("hi"))
	check("streamed Message", &streamed, err)
	beta, err := client.Beta.Messages.New(t.Context(), anthropic.BetaMessageNewParams{
		Model: "claude-haiku-5-5", MaxTokens: 900, Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("hi"))},
		ContextManagement: anthropic.BetaContextManagementConfigParam{Edits: []anthropic.BetaContextManagementConfigEditUnionParam{
			{OfClearToolUses20250919: &anthropic.BetaClearToolUses20250919EditParam{}}}},
		Betas: []anthropic.AnthropicBeta{"context-management-2025-06-27"},
	})
	check("BetaMessage", beta, err)
	model, err := client.Models.Get(t.Context(), "claude-opus-5-5", anthropic.ModelGetParams{})
	check("ModelInfo", model, err)
	models, err := client.Models.List(t.Context(), anthropic.ModelListParams{})
	check("models", models, err)
	for _, m := range models.Data {
		check("ModelInfo", &m, nil)
	}
	batch, err := client.Messages.Batches.New(t.Context(), anthropic.MessageBatchNewParams{Requests: []anthropic.MessageBatchNewParamsRequest{{
		CustomID: "a", Params: anthropic.MessageBatchNewParamsRequestParams{Model: "claude-haiku-5-5", MaxTokens: 900, Messages: ask("hi").Messages},
	}}})
	check("MessageBatch", batch, err)
	batches, err := client.Messages.Batches.List(t.Context(), anthropic.MessageBatchListParams{})
	check("batches", batches, err)
	results := client.Messages.Batches.ResultsStreaming(t.Context(), batch.ID, anthropic.MessageBatchResultsParams{})
	for results.Next() {
		line := results.Current()
		check("result", &line, nil)
		check("batched Message", &line.Result.Message, nil)
	}
	if results.Err() != nil {
		t.Fatal(results.Err())
	}
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: "claude-haiku-5-5", Messages: ask("hi").Messages})
	check("count", count, err)
	betaCount, err := client.Beta.Messages.CountTokens(t.Context(), anthropic.BetaMessageCountTokensParams{
		Model: "claude-haiku-5-5", Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("hi"))},
		Betas: []anthropic.AnthropicBeta{"context-management-2025-06-27"},
	})
	check("beta count", betaCount, err)
}
