import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { type CollectorOptions, collector } from "../../../src/collector/app.ts";
import { schemaValidator } from "../../../src/collector/batch_parser.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { memorySink, type StoredBatch } from "../../support/collector.ts";
import { KEY } from "../../support/keys.ts";
import { signedBatch, signedHeaders } from "../../support/signed.ts";

const QUEUE = "0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e";

function open(options: Partial<CollectorOptions> = {}) {
  const stored: StoredBatch[] = [];
  const status = new CollectorStatus();
  const app = collector({
    keys: new Map([[KEY.name, KEY.secret]]),
    sink: memorySink(stored),
    status,
    ...options,
  });
  return { app, stored, status };
}

test("the valid events of a batch are stored with their ids, and the others are listed", async () => {
  const { app, stored, status } = open();
  const body = '{"1":{"lst":["rec",4,{"1":{"i32":1}},{"x":1},{"1":{"i32":3}},[]]}}';
  const answer = await app.request("/v2", signedBatch(body, signedHeaders(body, `${QUEUE}:5-7,9`)));
  assert.equal(answer.status, 422);
  assert.deepEqual(await answer.json(), {
    error:
      "2 of 4 events are rejected, event 1 first: not a Thrift struct (expected a field id at byte 1); for JSON events, set collector.version = 2j in the publisher",
    accepted: 2,
    duplicates: 0,
    rejected: [
      {
        index: 1,
        error:
          "not a Thrift struct (expected a field id at byte 1); for JSON events, set collector.version = 2j in the publisher",
      },
      {
        index: 3,
        error:
          "not a Thrift struct (expected a struct at byte 0); for JSON events, set collector.version = 2j in the publisher",
      },
    ],
  });
  assert.deepEqual(stored[0]?.events, ['{"1":{"i32":1}}', '{"1":{"i32":3}}']);
  assert.equal(stored[0]?.meta.eventIds, `${QUEUE}:5,7`);
  const { stored: storedCount, duplicates, rejected, bytes } = status.countsOf(KEY.name);
  assert.deepEqual([storedCount, duplicates, rejected, bytes], [2, 0, 2, body.length]);
});

test("the sink is not called when no event is valid", async () => {
  const { app } = open({ sink: { store: () => Promise.reject(new Error("asked")) } });
  const answer = await app.request("/v2", signedBatch('{"1":{"lst":["rec",1,5]}}'));
  assert.equal(answer.status, 422);
  assert.equal(((await answer.json()) as { accepted: number }).accepted, 0);
  assert.equal((await app.request("/v2j", signedBatch("[]"))).status, 200);
});

test("duplicates count as accepted", async () => {
  const { app, status } = open({
    sink: { store: async ({ events }) => ({ stored: 1, duplicates: events.count - 1 }) },
  });
  const answer = await app.request("/v2j", signedBatch("[1,2,3]"));
  assert.deepEqual(await answer.json(), { accepted: 3, duplicates: 2 });
  assert.deepEqual([status.countsOf(KEY.name).stored, status.countsOf(KEY.name).duplicates], [1, 2]);
});

test("validate gets each event that is valid so far", async () => {
  const seen: unknown[] = [];
  const validate = (event: unknown): string | undefined => {
    seen.push(event);
    return (event as { n: number }).n === 2 ? "n is 2" : undefined;
  };
  const { app, stored } = open({ validate, v1: true });
  const answer = await app.request("/v1", signedBatch('[{"n":1},7,{"n":2},{"n":3}]'));
  const { rejected } = (await answer.json()) as { rejected: unknown };
  assert.deepEqual(rejected, [
    { index: 1, error: "expected an object at byte 0" },
    { index: 2, error: "n is 2" },
  ]);
  assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.deepEqual(stored[0]?.events, ['{"n":1}', '{"n":3}']);
});

test("a schema checks events, and the error names the field without its value", async () => {
  const validate = schemaValidator(v.object({ user: v.string() }));
  const { app, stored } = open({ validate });
  const answer = await app.request("/v2j", signedBatch('[{"user":"u1","more":1},{"user":5},{}]'));
  assert.equal(answer.status, 422);
  const { rejected } = (await answer.json()) as { rejected: { index: number; error: string }[] };
  assert.deepEqual(
    rejected.map(({ index }) => index),
    [1, 2],
  );
  assert.match(rejected[0]!.error, /\buser\b/);
  assert.deepEqual(stored[0]?.events, ['{"user":"u1","more":1}'], "as it was sent");
});

test("a validator that throws gets a 500, so that the batch is sent again", async () => {
  const validate = () => {
    throw new Error("secret detail");
  };
  const { app, stored, status } = open({ validate });
  const answer = await app.request("/v2j", signedBatch("[1]"));
  assert.equal(answer.status, 500);
  assert.deepEqual(await answer.json(), {
    error: "The validator of the collector failed. Send the batch again.",
  });
  assert.deepEqual([stored.length, status.requests.failed], [0, 1]);
});

test("nothing is stored or listed when the list of rejected events would be too long", async () => {
  const { app, stored } = open({ v1: true });
  const answer = await app.request("/v1", signedBatch(`[{},${Array(5_000).fill(1).join(",")}]`));
  assert.equal(answer.status, 422);
  const text = await answer.text();
  assert.deepEqual(Object.keys(JSON.parse(text) as object), ["error"]);
  assert.equal(stored.length, 0);
});

test("a response has at most 64 KiB, whatever the validator returns", async () => {
  const { app, stored } = open({ validate: (event) => `${event}${"\u0001é".repeat(500)}` });
  for (const count of [1, 10, 50, 60, 100]) {
    const answer = await app.request("/v2j", signedBatch(`[${Array(count).fill(1).join(",")}]`));
    assert.equal(answer.status, 422);
    const { length } = new Uint8Array(await answer.arrayBuffer());
    assert.ok(length <= 65_536, `${length} bytes`);
  }
  assert.equal(stored.length, 0);
});

test("/v1 exists only with the option v1", async () => {
  const { app, stored } = open({ v1: true });
  assert.equal((await app.request("/v1", signedBatch('[{"a":1}]'))).status, 200);
  assert.deepEqual(stored[0], {
    events: ['{"a":1}'],
    meta: { version: "1", keyName: KEY.name, eventIds: undefined },
  });
  assert.equal((await open().app.request("/v1", signedBatch('[{"a":1}]'))).status, 404);
});
