// Tests with the official TypeScript SDK which answers a proxy shares, and how. The
// arguments are the proxy's URL and key. Prints each failed check and exits with 1 if any
// failed.
import Anthropic from "@anthropic-ai/sdk";
import assert from "node:assert/strict";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const bearer = new Anthropic({ baseURL, apiKey: null, authToken: apiKey, maxRetries: 0 });
const ask = (text, more = {}) => ({ model: "claude-haiku-5-5", max_tokens: 1000, messages: [{ role: "user", content: text }], ...more });

// fixed is what a request at temperature 0 needs: a model and a version of the API that
// accept one.
const fixed = { model: "claude-haiku-4-5", temperature: 0 };
const version = { "anthropic-version": "2023-06-01" };

// create returns an answer that is a document, with what the proxy says of it.
const create = async (client, params, headers = {}) => {
  const { data, response } = await client.messages.create(params, { headers }).withResponse();
  return { message: data, source: response.headers.get("x-claude-force-cache"), saved: Number(response.headers.get("x-claude-force-saved-usd")), age: response.headers.get("age") };
};

// stream returns the same of an answer that is a stream.
const stream = async (client, params, headers = {}) => {
  const s = client.messages.stream(params, { headers });
  const { response } = await s.withResponse();
  return { message: await s.finalMessage(), source: response.headers.get("x-claude-force-cache") };
};

const same = (a, b) => assert.deepEqual([a.id, a.content, a.stop_reason, a.usage.output_tokens], [b.id, b.content, b.stop_reason, b.usage.output_tokens]);

const checks = {
  async "an answer at temperature 0 is shared, in both forms"() {
    const params = ask("Explain lists", fixed);
    const first = await create(client, params, version);
    assert.deepEqual([first.source, first.saved, first.age], ["miss", 0, null]);
    const again = await create(bearer, params, version);
    assert.equal(again.source, "hit");
    assert.ok(again.saved > 0 && Number(again.age) >= 0);
    same(again.message, first.message);
    const streamed = await stream(client, params, version);
    assert.equal(streamed.source, "hit");
    same(streamed.message, first.message);
  },
  async "a streamed tool call is shared, in both forms"() {
    const look = { name: "look", description: "Looks", input_schema: { type: "object", properties: { at: { type: "string" } }, required: ["at"] } };
    const params = ask("Go\n[simulate: call look]", { ...fixed, tools: [look] });
    const first = await stream(client, params, version);
    assert.deepEqual([first.source, first.message.stop_reason], ["miss", "tool_use"]);
    const again = await create(client, params, version);
    assert.equal(again.source, "hit");
    same(again.message, first.message);
    same((await stream(client, params, version)).message, first.message);
  },
  async "another answer is not, but where the client asks for it"() {
    const params = ask("Explain dicts");
    const first = await create(client, params);
    const second = await create(client, params);
    assert.deepEqual([first.source, second.source], ["bypass", "bypass"]);
    assert.notEqual(second.message.id, first.message.id);
    const always = { "x-claude-force-cache-mode": "always" };
    const kept = await create(client, params, always);
    const hit = await create(client, params, always);
    assert.deepEqual([kept.source, hit.source], ["miss", "hit"]);
    same(hit.message, kept.message);
    assert.equal((await create(client, params, { "x-claude-force-cache-mode": "refresh" })).source, "miss");
    await assert.rejects(create(client, params, { "x-claude-force-cache-mode": "never" }), (e) => {
      assert.ok(e instanceof Anthropic.BadRequestError);
      assert.match(e.requestID, /^req_cf_/);
      return true;
    });
  },
  async "the repeats of one session are, and of no other"() {
    const params = ask("Explain sets");
    const of = (id) => ({ "x-claude-force-session": id });
    const first = await stream(client, params, of("a"));
    const again = await stream(client, params, of("a"));
    const other = await stream(client, params, of("b"));
    assert.deepEqual([first.source, again.source, other.source], ["miss", "hit", "miss"]);
    same(again.message, first.message);
    assert.notEqual(other.message.id, first.message.id);
  },
  async "a wrong key is not tried again"() {
    let tries = 0;
    const wrong = new Anthropic({ baseURL, apiKey: "sk-other", maxRetries: 5, fetch: (...args) => (tries++, fetch(...args)) });
    await assert.rejects(wrong.messages.create(ask("hi")), (e) => {
      assert.ok(e instanceof Anthropic.AuthenticationError);
      assert.equal(e.headers.get("x-should-retry"), "false"); // Claude Code goes by this alone
      return true;
    });
    assert.equal(tries, 1);
  },
  async "identical calls at once share one"() {
    const params = ask("Explain queues", fixed);
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? stream : create)(client, params, version)));
    for (const { message } of all) same(message, all[0].message);
    assert.equal(all.filter(({ source }) => source === "miss").length, 1);
    assert.ok(all.every(({ source }) => ["miss", "coalesced", "hit"].includes(source)));
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
