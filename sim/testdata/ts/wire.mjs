// Tests the simulator with the official TypeScript SDK. The first argument is the
// simulator's URL. Two more, if they are there, are the URL and the key of a proxy in
// front of it, which is asked in its place. Prints each failed check and exits with 1 if
// any failed.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import assert from "node:assert/strict";

const [simulator, baseURL = simulator, apiKey = "sk-test"] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, maxRetries: 2 });
const model = "claude-haiku-5-5";
const ask = (text, more = {}) => ({ model, max_tokens: 1000, messages: [{ role: "user", content: text }], ...more });
const weather = {
  name: "get_weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const textOf = (message) => message.content.map((b) => b.text ?? "").join("");

const inject = async (...faults) => {
  const res = await fetch(`${simulator}/_sim/faults`, { method: "POST", body: JSON.stringify(faults) });
  assert.equal(res.status, 200, await res.text());
};
const stats = async () => (await fetch(`${simulator}/_sim/stats`)).json();

const checks = {
  async "non-streaming"() {
    const message = await client.messages.create(ask("Explain lists"));
    assert.equal(message.stop_reason, "end_turn");
    assert.match(textOf(message), /simulated/i);
    assert.match(textOf(message), /Explain lists/);
    assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
    assert.match(message._request_id, /^req_/);
  },
  async streaming() {
    const whole = await client.messages.create(ask("Explain dicts"));
    const pieces = [];
    const stream = client.messages.stream(ask("Explain dicts")).on("text", (t) => pieces.push(t));
    const message = await stream.finalMessage();
    assert.equal(message.stop_reason, "end_turn");
    assert.ok(pieces.length > 3, `${pieces.length} pieces`);
    assert.equal(pieces.join(""), textOf(message));
    assert.equal(message.usage.output_tokens > 0, true);
    assert.equal(whole.model, message.model);
  },
  async tools() {
    const messages = [{ role: "user", content: "How is the weather in Paris?\n[simulate: call get_weather]" }];
    const stream = client.messages.stream({ model, max_tokens: 1000, tools: [weather], messages });
    const first = await stream.finalMessage();
    assert.equal(first.stop_reason, "tool_use");
    const use = first.content.find((b) => b.type === "tool_use");
    assert.equal(use.name, "get_weather");
    assert.equal(typeof use.input.city, "string");
    messages.push({ role: "assistant", content: first.content });
    await assert.rejects(client.messages.create({ model, max_tokens: 1000, tools: [weather], messages: [...messages, { role: "user", content: "and?" }] }), (e) => {
      assert.equal(e.status, 400);
      assert.match(e.message, /tool_use.*tool_result/);
      return true;
    });
    messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "18 degrees, rain" }] });
    const second = await client.messages.create({ model, max_tokens: 1000, tools: [weather], messages });
    assert.equal(second.stop_reason, "end_turn");
    assert.match(textOf(second), /18 degrees, rain/);
  },
  async "structured output"() {
    const schema = { type: "object", properties: { verdict: { type: "string", enum: ["good", "bad"] }, score: { type: "integer", description: "{minimum: 1, maximum: 5}" } }, required: ["verdict", "score"], additionalProperties: false };
    const message = await client.messages.create(ask("Judge this", { output_config: { format: { type: "json_schema", schema } } }));
    const value = JSON.parse(textOf(message));
    assert.ok(["good", "bad"].includes(value.verdict));
    assert.ok(Number.isInteger(value.score) && value.score >= 1 && value.score <= 5);
  },
  async "parsed output"() {
    const format = jsonSchemaOutputFormat({
      type: "object",
      properties: {
        n: { type: "integer", minimum: 3, maximum: 9 },
        id: { type: "string", format: "uuid" },
        short: { type: "string", maxLength: 5, pattern: "^[a-z]{2}" },
        list: { type: "array", items: { type: "string" }, minItems: 3 },
      },
      required: ["n", "id", "short", "list"],
    });
    const message = await client.messages.parse(ask("Judge this", { output_config: { format } }));
    const value = message.parsed_output;
    assert.ok(value.n >= 3 && value.n <= 9 && value.short.length <= 5 && value.list.length >= 3, JSON.stringify(value));
    assert.match(value.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const streamed = await client.messages.stream(ask("Judge this", { output_config: { format } })).finalMessage();
    assert.deepEqual(JSON.parse(textOf(streamed)), value);
    assert.notEqual(streamed.id, message.id);
  },
  async "tool runner"() {
    for (const stream of [false, true]) {
      const seen = [];
      const look = betaTool({
        name: "look",
        description: "Looks",
        inputSchema: { type: "object", properties: { at: { type: "string", enum: ["x"] } }, required: ["at"] },
        run: async (input) => { seen.push(input); return "found 7"; },
      });
      const runner = client.beta.messages.toolRunner({ model, max_tokens: 2000, tools: [look], stream, messages: [{ role: "user", content: "Go\n[simulate: call look]" }] });
      let turns = 0;
      for await (const _ of runner) turns++;
      assert.deepEqual(seen, [{ at: "x" }]);
      assert.equal(turns, 2);
    }
  },
  async "raw responses and events"() {
    const { response, request_id } = await client.messages.create(ask("hi")).withResponse();
    assert.equal(response.status, 200);
    assert.match(request_id, /^req_/);
    const types = [];
    for await (const event of await client.messages.create(ask("hi", { stream: true }))) types.push(event.type);
    assert.equal(types[0], "message_start");
    assert.deepEqual(types.slice(-2), ["message_delta", "message_stop"]);
  },
  async "an effort that changes, and context management"() {
    const system = { role: "system", content: [], output_config: { effort: "low" } };
    const message = await client.beta.messages.create({
      ...ask("hi"), messages: [{ role: "user", content: "hi" }, system], betas: ["context-management-2025-06-27"],
      context_management: { edits: [{ type: "clear_tool_uses_20250919" }] },
    });
    assert.equal(message.stop_reason, "end_turn");
    assert.deepEqual(message.context_management, { applied_edits: [] });
    await assert.rejects(client.messages.create(ask("hi", { output_config: { effort: "huge" } })), (e) => e instanceof Anthropic.BadRequestError);
  },
  async "pages of models"() {
    const page = await client.models.list({ limit: 3 });
    assert.ok(page.has_more && page.data.length === 3);
    const ids = [];
    for await (const m of client.models.list({ limit: 3 })) ids.push(m.id);
    assert.equal(new Set(ids).size, ids.length);
    const one = await client.models.retrieve(model);
    assert.ok(one.capabilities.effort.xhigh.supported && one.capabilities.thinking.types.adaptive.supported);
  },
  async "a retried 429"() {
    const before = (await stats()).rate_limited;
    await inject({ kind: "status", status: 429, retry_after: "0.01", times: 2 });
    const message = await client.messages.create(ask("Explain sets"));
    assert.equal(message.stop_reason, "end_turn");
    assert.equal((await stats()).rate_limited, before + 2);
  },
  async "a mid-stream error"() {
    await inject({ kind: "stream_error", after: 4, times: 1 });
    await assert.rejects(client.messages.stream(ask("Explain tuples")).finalMessage(), (e) => {
      assert.match(JSON.stringify(e.error ?? e.message), /overloaded_error/);
      return true;
    });
  },
  async "a cut stream"() {
    await inject({ kind: "cut_stream", after: 4, times: 1 });
    await assert.rejects(client.messages.stream(ask("Explain generators")).finalMessage());
  },
  async "a wrong key"() {
    const wrong = new Anthropic({ baseURL, apiKey: "invalid" });
    await assert.rejects(wrong.messages.create(ask("hi")), (e) => e instanceof Anthropic.AuthenticationError);
  },
  async "an unknown model"() {
    await assert.rejects(client.messages.create(ask("hi", { model: "claude-3-5-haiku-20241022" })), (e) => e instanceof Anthropic.NotFoundError);
  },
  async "message batches"() {
    const one = (custom_id, more = {}) => ({ custom_id, params: ask(`Explain ${custom_id}`, more) });
    const created = await client.messages.batches.create({ requests: [one("a"), one("b"), one("c", { max_tokens: 0 })] });
    assert.equal(created.processing_status, "in_progress");
    assert.equal(created.request_counts.processing, 3);
    const ended = await client.messages.batches.retrieve(created.id);
    assert.equal(ended.processing_status, "ended");
    assert.deepEqual(ended.request_counts, { processing: 0, succeeded: 2, errored: 1, canceled: 0, expired: 0 });
    assert.ok(ended.results_url.startsWith(`${baseURL}/v1/`), ended.results_url);
    const results = {};
    for await (const r of await client.messages.batches.results(created.id)) results[r.custom_id] = r.result;
    assert.match(textOf(results.a.message), /Explain a/);
    assert.equal(results.b.message.usage.service_tier, "batch");
    assert.equal(results.c.error.error.type, "invalid_request_error");
    const ids = [];
    for await (const b of client.messages.batches.list({ limit: 1 })) ids.push(b.id);
    assert.ok(ids.includes(created.id));
    assert.equal((await client.messages.batches.delete(created.id)).type, "message_batch_deleted");
    await assert.rejects(client.messages.batches.retrieve(created.id), (e) => e instanceof Anthropic.NotFoundError);
    await assert.rejects(client.messages.batches.create({ requests: [one("not ok!")] }), (e) => e instanceof Anthropic.BadRequestError);
  },
  async "a canceled batch"() {
    const { id } = await client.messages.batches.create({ requests: [{ custom_id: "a", params: ask("Explain queues") }] });
    const canceled = await client.messages.batches.cancel(id);
    assert.equal(canceled.id, id);
    assert.match(canceled.processing_status, /^(canceling|ended)$/); // the simulator may be done by then
    await assert.rejects(client.messages.batches.cancel("msgbatch_none"), (e) => e instanceof Anthropic.NotFoundError);
  },
  async "an aborted stream"() {
    await inject({ kind: "silence", after: 6, times: 1 });
    const stream = client.messages.stream(ask("Explain stacks"));
    stream.once("streamEvent", () => stream.abort());
    await assert.rejects(stream.finalMessage(), (e) => e instanceof Anthropic.APIUserAbortError);
    for (let i = 0; (await stats()).in_flight > 0; i++) { // the call ends too
      assert.ok(i < 1000, "the call goes on");
      await new Promise((done) => setTimeout(done, 5));
    }
    assert.equal((await client.messages.create(ask("Explain stacks"))).stop_reason, "end_turn");
  },
  async "token counting and models"() {
    const count = await client.messages.countTokens({ model, messages: [{ role: "user", content: "How many?" }] });
    assert.ok(count.input_tokens > 0);
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${e.stack}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
