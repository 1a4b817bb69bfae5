import assert from "node:assert/strict";
import { test } from "node:test";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import type { LeasedBatch, Outcome } from "../../../src/publisher/destinations/destination.ts";
import { type TransformOptions, withTransform } from "../../../src/publisher/transform.ts";
import { queueUuid } from "../../support/batches.ts";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import fc from "../../support/fast_check.ts";
import { newQueue } from "../../support/publisher.ts";
import { rejectingUrl } from "../../support/servers.ts";

interface Passed {
  readonly outcome: Outcome;
  /** What the destination got. */
  readonly texts: readonly string[];
  readonly joined: string;
  readonly counts: PublisherCounts;
}

/** Passes events of ids 1 and up through the rules to a destination that answers so. */
async function pass(
  events: readonly string[],
  rules: TransformOptions & { dropFields?: readonly string[] },
  outcome: Outcome = { kind: "accepted" },
): Promise<Passed> {
  const counts = new PublisherCounts();
  const got: LeasedBatch[] = [];
  const destination = withTransform(
    {
      url: "test:",
      timeoutMs: 1,
      emptyBatchBytes: 0,
      prepare: async (batch) => {
        got.push(batch);
        return { sizeBytes: 1, send: async () => outcome };
      },
      close: async () => {},
    },
    { dropFields: [], counts, ...rules },
  );
  const { send } = await destination.prepare({
    queue: "main",
    queueUuid: queueUuid(1),
    firstId: 1,
    lastId: events.length,
    count: events.length,
    joined: Buffer.from(events.join(",")),
    events: () => events.map((text, index) => ({ id: index + 1, putAtMs: 1, body: Buffer.from(text) })),
  });
  const result = await send(new AbortController().signal);
  const [batch] = got;
  const texts = batch?.events().map(({ body }) => Buffer.from(body).toString()) ?? [];
  return { outcome: result, texts, joined: Buffer.from(batch?.joined ?? "").toString(), counts };
}

test("sends what transform returns, and settles and counts what it drops", async () => {
  const { outcome, texts, joined, counts } = await pass(['{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}'], {
    transform: (event: { n: number }, { id, queue }) =>
      [{ ...event, id, queue }, undefined, null, "x"][event.n - 1],
  } as TransformOptions);
  assert.deepEqual(outcome, { kind: "accepted", dropped: 2 });
  assert.deepEqual(texts, ['{"n":1,"id":1,"queue":"main"}', '"x"']);
  assert.equal(joined, texts.join(","));
  assert.equal(counts.dropped, 2);
});

test("waits for a promise of transform", async () => {
  const { texts } = await pass(["1", "2"], { transform: async (event) => (event === 1 ? 10 : undefined) });
  assert.deepEqual(texts, ["10"]);
});

test("makes dead letters of events for which transform throws or returns no JSON, and of those that are not JSON", async () => {
  const { outcome, texts } = await pass(["1", "2", "not JSON", "4"], {
    transform: (event) => {
      if (event === 1) throw new TypeError("no user");
      return event === 2 ? () => {} : event;
    },
  });
  assert.deepEqual(texts, ["4"]);
  assert.deepEqual(outcome, {
    kind: "partial",
    rejected: [
      { id: 1, status: 422, response: "not sent: no user" },
      { id: 2, status: 422, response: "not sent: transform returned a function, which is not JSON" },
      { id: 3, status: 422, response: "not sent: the event is not JSON, so it cannot be transformed" },
    ],
    undelivered: [],
    dropped: 0,
  });
});

test("keeps what the destination says of the events, and counts nothing while they are sent again", async () => {
  const transform = (event: unknown) => (event === 1 ? undefined : event);
  const down: Outcome = { kind: "unavailable", reason: "down" };
  const { outcome, counts } = await pass(["1", "2"], { transform }, down);
  assert.deepEqual([outcome, counts.dropped], [down, 0]);
  const partial: Outcome = {
    kind: "partial",
    rejected: [{ id: 2, status: 400, response: "" }],
    undelivered: [3],
  };
  assert.deepEqual((await pass(["1", "2", "3"], { transform }, partial)).outcome, { ...partial, dropped: 1 });
});

test("sends nothing when no event is left", async () => {
  const { outcome, texts } = await pass(["1"], { transform: () => undefined });
  assert.deepEqual([outcome, texts], [{ kind: "accepted", dropped: 1 }, []]);
});

test("keeps each integer that transform does not touch, however large", async () => {
  const events = ['{"id":9007199254740993,"n":-12345678901234567890,"f":1.5}'];
  const { texts } = await pass(events, { transform: (event) => event });
  assert.deepEqual(texts, events);
});

const drops: readonly (readonly [what: string, path: string, event: string, sent: string])[] = [
  ["a field", "ip", '{"ip":"::1","n":1}', '{"n":1}'],
  ["a field of an object", "user.email", '{"user":{"email":"a@b","id":2}}', '{"user":{"id":2}}'],
  ["fields in a list", "users.email", '{"users":[{"email":1},[{"email":2}],3]}', '{"users":[{},[{}],3]}'],
  ["a name with dots", "user.email", '{"user.email":"a@b","user":{"x":1}}', '{"user":{"x":1}}'],
  ["a name that is there twice", "ip", '{"ip":1,"ip":2}', "{}"],
  ["a name that is written with escapes", "ip", '{"\\u0069p":1}', "{}"],
  ["a whole object", "user", '{"user":{"email":1},"n":1}', '{"n":1}'],
  ["__proto__", "__proto__", '{"__proto__":1,"n":1}', '{"n":1}'],
  [
    "a Thrift field",
    "1.2",
    '{"1":{"rec":{"2":{"str":"a@b"},"3":{"i32":1}}}}',
    '{"1":{"rec":{"3":{"i32":1}}}}',
  ],
  [
    "a Thrift field in a list of structs",
    "4.1",
    '{"4":{"lst":["rec",2,{"1":{"str":"a"}},{"1":{"str":"b"}}]}}',
    '{"4":{"lst":["rec",2,{},{}]}}',
  ],
  [
    "a field beside numbers, which keep their digits",
    "x",
    '{"x":1,"a":1.0,"b":9007199254740993,"c":[1e400]}',
    '{"a":1.0,"b":9007199254740993,"c":[1e400]}',
  ],
];

for (const [what, path, event, sent] of drops)
  test(`drops ${what}`, async () => {
    const { texts, counts } = await pass([event], { dropFields: [path] });
    assert.deepEqual([texts, counts.redacted], [[sent], 1]);
  });

test("leaves the bytes of an event alone that has none of the fields", async () => {
  const events = ['{"user" : { "id":1.0 }}', '"ip"', "7", '{"ipv6":{"ips":1}}'];
  const { texts, counts } = await pass(events, { dropFields: ["user.email", "ip", "user.id.x"] });
  assert.deepEqual([texts, counts.redacted], [events, 0]);
});

test("drops fields after transform, and never quotes an event in an error", async () => {
  const { texts } = await pass(['{"n":1}'], {
    dropFields: ["ip"],
    transform: (event) => ({ ...(event as object), ip: "::1" }),
  });
  assert.deepEqual(texts, ['{"n":1}']);
  const { outcome } = await pass(['{"ip":"s3cret'], { dropFields: ["ip"] });
  assert.doesNotMatch(JSON.stringify(outcome), /s3cret/);
});

test("leaves nothing of a dropped field in any JSON", async () => {
  const name = fc.constantFrom("user", "email", "x", "user.email");
  const json = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, fc.constant("s3cret"), fc.double(), tie("object"), tie("list")),
    object: fc.dictionary(name, tie("value")),
    list: fc.array(tie("value"), { maxLength: 3 }),
  }));
  await fc.assert(
    fc.asyncProperty(json.object, async (event) => {
      const { texts } = await pass([JSON.stringify(event)], { dropFields: ["user.email", "x"] });
      assert.ok(!hasField(JSON.parse(texts[0]!), false), texts[0]);
    }),
    { numRuns: 200 },
  );
});

/** Whether there is an `x` at the top, an `email` within a `user`, or a `user.email`. */
function hasField(value: unknown, isInUser: boolean): boolean {
  if (Array.isArray(value)) return value.some((item) => hasField(item, isInUser));
  if (typeof value !== "object" || value === null) return false;
  if (isInUser) return Object.hasOwn(value, "email");
  if (Object.hasOwn(value, "x") || Object.hasOwn(value, "user.email")) return true;
  return hasField((value as Record<string, unknown>).user, true);
}

test("an event that is dropped says nothing of the destination", async () => {
  await using main = newQueue(
    await rejectingUrl(),
    { "publisher.concurrency": "1" },
    { transform: (event) => ((event as { n: number }).n === 1 ? undefined : event) },
  );
  void main.publisher.run();
  main.queue.put({ n: 1 });
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const { lastSuccessAtMs, delivered } = main.publisher.status();
  const { requests, dropped } = main.publisher.metrics().counts;
  assert.deepEqual([lastSuccessAtMs, delivered, requests.accepted, dropped], [undefined, 0, 0, 1]);
});

test("a publisher delivers what its transform makes, and the queue's file keeps what was put", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(
    collector.url,
    { "publisher.drop_fields": "email" },
    {
      transform: (event) => {
        const { n } = event as { n: number };
        if (n === 3) throw new Error("three");
        return n === 2 ? undefined : event;
      },
    },
  );
  main.queue.putMany([1, 2, 3, 4].map((n) => ({ n, email: "a@b" })));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.deepEqual(
    collector.batches.flatMap(({ events }) => events),
    ['{"n":1}', '{"n":4}'],
  );
  const [letter] = main.publisher.deadLetters.list({ limit: 9 });
  const { body, response } = main.publisher.deadLetters.get(letter!.id)!;
  assert.equal(Buffer.from(body).toString(), '{"n":3,"email":"a@b"}');
  assert.match(response, /three/);
  const { delivered, counts } = { ...main.publisher.status(), ...main.publisher.metrics() };
  assert.deepEqual([delivered, counts.dropped, counts.redacted, counts.deadLettered], [2, 1, 2, 1]);
});
