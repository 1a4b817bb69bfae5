/**
 * Whatever comes in, a typed error or a right result goes out: never another exception, a crash or a hang.
 * EVENTSPOOL_FUZZ_RUNS=50 makes 50 times as many attempts.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import process from "node:process";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { collector } from "../../src/collector/app.ts";
import { parsePublisherConfig } from "../../src/config/publisher_config.ts";
import { ConfigurationError, EventError, EventSerializationError } from "../../src/errors.ts";
import { collectorOutcome } from "../../src/publisher/destinations/collector.ts";
import { serializeJsonEvent } from "../../src/serializers/json.ts";
import { serializeV2Event } from "../../src/serializers/thrift.ts";
import { MAX_QUEUE_NAME_CHARS, queueFilePath } from "../../src/storage/locations.ts";
import { readReport } from "../../src/wire/rejections.ts";
import { RETRY_AFTER_MAX_MS } from "../../src/wire/retry_after.ts";
import { queueUuid } from "../support/batches.ts";
import { memorySink } from "../support/collector.ts";
import fc from "../support/fast_check.ts";
import { KEY } from "../support/keys.ts";
import { SchemaStruct } from "../support/thrift_structs.ts";
import { readVectors } from "../support/vectors.ts";

const TIMES = Number(process.env.EVENTSPOOL_FUZZ_RUNS ?? 1);
const RUNS = { numRuns: 200 * TIMES };

/** Runs it, and lets through only errors of the given kind. */
function attempt<T>(work: () => T, kind: new (...args: never[]) => Error): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof kind, String((error as Error)?.stack ?? error));
    return undefined;
  }
}

const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});

test("serializes any value as JSON.stringify writes it, or says which field cannot be", () => {
  fc.assert(
    fc.property(anything, (event) => {
      const bytes = attempt(() => serializeJsonEvent(event), EventSerializationError);
      if (bytes === undefined) return;
      const again = JSON.stringify(JSON.parse(Buffer.from(bytes).toString())); // -0 is written as it is, and read so
      assert.equal(again, JSON.stringify(JSON.parse(JSON.stringify(event))));
    }),
    RUNS,
  );
});

test("says so of events that fight back: getters, proxies, cycles, depth", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.a = { b: [cyclic] };
  let deep: unknown = 1;
  for (let level = 0; level < 200_000; level++) deep = [deep];
  const trap = (): never => {
    throw new TypeError("trapped");
  };
  const hostile: unknown[] = [
    cyclic,
    deep,
    new Proxy({}, { ownKeys: trap }),
    new Proxy([], { get: trap }),
    Object.defineProperty({}, "x", { enumerable: true, get: trap }),
    { toJSON: trap },
    { toJSON: () => ({ toJSON: trap, x: Symbol("x") }) },
    {
      toJSON() {
        throw undefined;
      },
    },
  ];
  for (const event of hostile) {
    const bytes = attempt(() => serializeJsonEvent(event), EventSerializationError);
    if (bytes !== undefined) assert.ok(bytes.length > 0);
  }
});

const SCHEMA = readVectors<Record<string, readonly { name: string }[]>>("schema");
const structs = fc
  .constantFrom(...Object.keys(SCHEMA).filter((type) => SCHEMA[type]!.length > 0))
  .chain((type) =>
    fc.record({
      type: fc.constant(type),
      fields: fc.dictionary(
        fc.constantFrom(...SCHEMA[type]!.map(({ name }) => name)),
        fc.oneof(anything, fc.constant(null)),
      ),
    }),
  );

test("serializes a Thrift struct with any values in its fields, or says which does not fit", () => {
  fc.assert(
    fc.property(structs, ({ type, fields }) => {
      let bytes: Uint8Array;
      try {
        bytes = serializeV2Event(new SchemaStruct(type, fields));
      } catch (error) {
        // What the struct's own code throws, such as a list that is no array, comes as its cause.
        assert.ok(error instanceof EventSerializationError, String((error as Error).stack));
        return;
      }
      JSON.parse(Buffer.from(bytes).toString());
    }),
    RUNS,
  );
});

const VALID = `[event-publisher:main]
collector.hostname = c.example:9800/in
collector.version = 2j
key.name = K
key.secret = aHVudGVyMg==
max_queue_size = 500
batch.max_age = 250ms
dead_letters.max_share = 5%
admin.listen = [::1]:9900
queue.file_mode = 0640
metrics.endpoint = localhost:8125
`;
const VALID_TOML = VALID.replace("event-publisher:main", "event-publisher.main").replaceAll(
  / = (.*)$/gm,
  (_, value: string) => ` = ${JSON.stringify(value)}`,
);

/** The text with a piece cut out and another put in. */
function mutated(text: string): fc.Arbitrary<string> {
  const junk = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom(
      "\0",
      "\uFEFF",
      "[",
      "]",
      "=",
      ":",
      "\n ",
      "$",
      "${",
      "%(x)s",
      "__proto__ = 1\n",
      "'''",
      '"""',
      "#",
      "[[a]]\n",
      "1e999",
      "\r",
    ),
    fc.integer({ min: 1, max: 20_000 }).map((length) => "[".repeat(length)),
  );
  const place = fc.integer({ min: 0, max: text.length });
  return fc
    .tuple(place, place, junk)
    .map(([from, to, put]) => text.slice(0, Math.min(from, to)) + put + text.slice(Math.max(from, to)));
}

for (const [format, text] of [
  ["ini", VALID],
  ["toml", VALID_TOML],
] as const) {
  test(`reads any ${format} text as a configuration, or rejects it as one`, () => {
    attemptConfig(text, format, true);
    fc.assert(
      fc.property(mutated(text), (mutant) => attemptConfig(mutant, format)),
      RUNS,
    );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (junk) => attemptConfig(junk, format)),
      RUNS,
    );
  });
}

function attemptConfig(text: string, format: "ini" | "toml", isValid = false): void {
  const env = { HOME: "/home/x" };
  const config = attempt(() => parsePublisherConfig(text, { format, env }), ConfigurationError);
  assert.ok(config !== undefined || !isValid);
}

test("names a file in the directory for any queue name, or rejects the name", () => {
  const names = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[./\\a-z]{1,120}$/));
  fc.assert(
    fc.property(names, (name) => {
      const path = attempt(() => queueFilePath(name, "/queues"), ConfigurationError);
      if (path === undefined) return;
      assert.equal(path, `/queues/events-${name}.db`);
      assert.ok(name.length <= MAX_QUEUE_NAME_CHARS && !/[/\0]/.test(name));
    }),
    RUNS,
  );
});

test("takes any answer of a collector for one of five outcomes, and waits an hour at most", () => {
  const answers = fc.record({
    status: fc.integer({ min: 200, max: 999 }),
    retryAfter: fc.option(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.double().map(String),
        fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      ),
    ),
    text: fc.string({ unit: "binary" }),
    contentType: fc.constantFrom("", "application/json", "text/plain"),
    contentEncoding: fc.constantFrom("", "identity", "gzip"),
    acceptEncoding: fc.constant(undefined),
    eventIds: fc.constant(undefined),
    isCached: fc.constant(false),
    isCut: fc.constant(false),
  });
  fc.assert(
    fc.property(answers, (answer) => {
      const outcome = collectorOutcome(answer, {
        queueUuid: queueUuid(1),
        ranges: [{ firstId: 1, lastId: 2 }],
        count: 2,
        single: undefined,
      });
      const isSilent = readReport(answer.text, 2) === "silent" && !answer.text.trimStart().startsWith("<");
      if (outcome.kind === "accepted")
        assert.ok(answer.status < 300 && isSilent && answer.contentEncoding !== "gzip");
      if (outcome.kind !== "unavailable" || outcome.retryAfterMs === undefined) return;
      assert.ok(outcome.retryAfterMs >= 0 && outcome.retryAfterMs <= RETRY_AFTER_MAX_MS);
    }),
    RUNS,
  );
});

const sign = (body: Uint8Array): string =>
  `key=${KEY.name}, mac=${createHmac("sha256", KEY.secret).update(body).digest("hex")}`;

const app = collector({
  keys: new Map([[KEY.name, KEY.secret]]),
  sink: memorySink([]),
  maxBodyBytes: 4_000_000,
});

async function post(path: string, body: Uint8Array, headers: Record<string, string>): Promise<number> {
  const response = await app.request(path, { method: "POST", body: new Uint8Array(body), headers });
  await response.text();
  return response.status;
}

test("answers a collector's rejection to any body and signature, and never fails", async () => {
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((json) => Buffer.from(`[${json}]`)),
    fc.json().map((json) => Buffer.from(`{"1":{"lst":["rec",1,${json}]}}`)),
  );
  const signatures = fc.oneof(fc.constant(undefined), fc.stringMatching(/^[ -~]{0,80}$/));
  await fc.assert(
    fc.asyncProperty(
      bodies,
      signatures,
      fc.boolean(),
      fc.constantFrom("2", "2j"),
      async (body, signature, isGzip, version) => {
        const status = await post(`/v${version}`, isGzip ? gzipSync(body) : body, {
          "X-Signature": signature ?? sign(body),
          ...(isGzip && { "Content-Encoding": "gzip" }),
        });
        assert.ok([200, 400, 403, 413, 422].includes(status), String(status));
        if (signature !== undefined) assert.notEqual(status, 200);
      },
    ),
    RUNS,
  );
});

test("rejects bodies that are bombs: gzip, depth, length, numbers", async () => {
  const deep = Buffer.from("[".repeat(1_000_000) + "]".repeat(1_000_000));
  const zeros = gzipSync(Buffer.alloc(200_000_000));
  const good = Buffer.from("[1]");
  const gzip = { "Content-Encoding": "gzip" };
  assert.equal(await post("/v2j", deep, { "X-Signature": sign(deep) }), 422);
  assert.equal(await post("/v2j", zeros, { "X-Signature": sign(good), ...gzip }), 413);
  assert.equal(
    await post("/v2j", gzipSync(good).subarray(0, 12), { "X-Signature": sign(good), ...gzip }),
    400,
  );
  const numbers = Buffer.from('{"1":{"lst":["rec",99999999999999999999,{}]}}');
  assert.equal(await post("/v2", numbers, { "X-Signature": sign(numbers) }), 400);
});

test("keeps its errors one family, so that a service catches one class", () => {
  for (const kind of [ConfigurationError, EventSerializationError])
    assert.ok(kind.prototype instanceof EventError);
});
