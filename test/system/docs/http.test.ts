import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Webhook } from "standardwebhooks";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import type { LeasedBatch, Outcome } from "../../../src/publisher/destinations/destination.ts";
import { openDestination } from "../../../src/publisher/destinations/open_destination.ts";
import { queueUuid } from "../../support/batches.ts";
import { filesOf, readBlocks, readPrograms } from "../../support/doc_page.ts";
import { Project } from "../../support/project.ts";
import { type ReceivedRequest, serveHttp } from "../../support/servers.ts";

/**
 * Stand-ins for the services of docs/http.md: each checks a request as the service's documentation describes it, and
 * answers as it says. None of them is the real server.
 */
interface StandIn {
  /** The events as the service would store them. @throws {Error} it would not take the request */
  read(body: string, request: ReceivedRequest): unknown[];
  readonly status?: number;
  answer?(events: readonly unknown[]): unknown;
  /** What it answers to a batch with {@link POISON}, and what that is for the publisher. */
  readonly poison?: { readonly status: number; readonly answer: unknown; readonly outcome: Outcome["kind"] };
}

const TOKEN = "aHVudGVyMiBoYXMgYSBsb25nIHNlY3JldA==";
const EVENTS = [{ n: 1, text: 'a "quoted"\nline' }, { n: 2 }, { n: 3 }];
const POISON = 2;
const PUT_AT_MS = 1_764_323_999_007;

const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
const lines = (body: string) => {
  assert.ok(body.endsWith("\n"));
  return body
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

const SERVICES: Readonly<Record<string, StandIn>> = {
  // https://clickhouse.com/docs/interfaces/http: the query in the URL, the data in the body; nothing is answered.
  "clickhouse.example": {
    read(body, { path, headers }) {
      assert.equal(
        new URL(path, "http://h").searchParams.get("query"),
        "INSERT INTO events FORMAT JSONEachRow",
      );
      assert.equal(headers.authorization, basic("events", TOKEN));
      return lines(body);
    },
    answer: () => "",
    poison: { status: 400, answer: "Code: 27. DB::Exception: Cannot parse input", outcome: "rejected" },
  },
  // https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk: pairs of lines, the last one ended.
  "elastic.example": {
    read(body, { path, headers }) {
      assert.match(path, /^\/events\/_bulk\?filter_path=errors,items\.\*\.status,items\.\*\.error$/);
      assert.equal(headers["content-type"], "application/x-ndjson");
      assert.equal(headers.authorization, `ApiKey ${TOKEN}`);
      const all = lines(body);
      const ids = all
        .filter((_, index) => index % 2 === 0)
        .map(({ create }) => (create as { _id: string })._id);
      assert.deepEqual(
        ids,
        [1, 2, 3].map((id) => `${queueUuid(1)}:${id}`),
      );
      return all.filter((_, index) => index % 2 === 1);
    },
    answer: (events) => ({ errors: false, items: events.map(() => ({ create: { status: 201 } })) }),
    poison: {
      status: 200,
      answer: {
        errors: true,
        items: [1, 2, 3].map((n) =>
          n === POISON
            ? {
                create: {
                  status: 400,
                  error: { type: "document_parsing_exception", reason: "[1:7] failed to parse" },
                },
              }
            : { create: { status: 201 } },
        ),
      },
      outcome: "partial",
    },
  },
  // https://vector.dev/docs/reference/configuration/sources/http_server
  "vector.example": {
    read(body, { headers }) {
      assert.equal(headers.authorization, basic("events", TOKEN));
      return lines(body);
    },
    answer: () => "",
    poison: { status: 400, answer: { code: 400, message: "Failed decoding body" }, outcome: "rejected" },
  },
  // https://docs.fluentbit.io/manual/pipeline/inputs/http: a list of records; gzip since 2.2.1; 201 by default.
  localhost: {
    read(body, { path, headers }) {
      assert.deepEqual([path, headers["content-type"]], ["/events", "application/json"]);
      return JSON.parse(body) as unknown[];
    },
    status: 201,
    answer: () => "",
    poison: { status: 400, answer: "error: invalid request", outcome: "rejected" },
  },
  // https://help.splunk.com, "Format events for HTTP Event Collector": JSON objects one after the other.
  "splunk.example": {
    read(body, { headers }) {
      assert.equal(headers.authorization, `Splunk ${TOKEN}`);
      const objects = JSON.parse(`[${body.replaceAll('}{"time"', '},{"time"')}]`) as {
        time: number;
        event: unknown;
        fields: { event_id: string };
      }[];
      assert.deepEqual(objects.map(({ fields }) => fields.event_id).at(-1), `${queueUuid(1)}:3`);
      assert.equal(objects[0]!.time, PUT_AT_MS / 1_000);
      return objects.map(({ event }) => event);
    },
    answer: () => ({ text: "Success", code: 0 }),
    poison: {
      status: 400,
      answer: { text: "Invalid data format", code: 6, "invalid-event-number": 1 },
      outcome: "rejected",
    },
  },
  // https://www.twilio.com/docs/segment/connections/sources/catalog/libraries/server/http-api
  "api.segment.io": {
    read(body, { headers }) {
      assert.equal(headers.authorization, basic(TOKEN, ""));
      return (JSON.parse(body) as { batch: unknown[] }).batch;
    },
    answer: () => ({ success: true }),
    poison: { status: 400, answer: { success: false, code: "invalid_request" }, outcome: "rejected" },
  },
  // https://posthog.com/docs/api/capture
  "us.i.posthog.com": {
    read(body) {
      const { api_key, batch } = JSON.parse(body) as { api_key: string; batch: unknown[] };
      assert.equal(api_key, TOKEN);
      return batch;
    },
    answer: () => ({ status: 1 }),
    poison: { status: 400, answer: "invalid payload", outcome: "rejected" },
  },
  // https://opentelemetry.io/docs/specs/otlp/#otlphttp, and its JSON encoding.
  "otel.example": {
    read(body, { path, headers }) {
      assert.deepEqual([path, headers["content-type"]], ["/v1/logs", "application/json"]);
      const [{ resource, scopeLogs }] = (
        JSON.parse(body) as { resourceLogs: [{ resource: unknown; scopeLogs: [{ logRecords: unknown }] }] }
      ).resourceLogs;
      assert.deepEqual(resource, { attributes: [{ key: "service.name", value: { stringValue: "main" } }] });
      const records = scopeLogs[0].logRecords as { timeUnixNano: string; body: { stringValue: string } }[];
      assert.equal(BigInt(records[0]!.timeUnixNano), BigInt(PUT_AT_MS) * 1_000_000n);
      return records.map((record) => JSON.parse(record.body.stringValue) as unknown);
    },
    answer: () => ({}),
    poison: {
      status: 200,
      answer: { partialSuccess: { rejectedLogRecords: "1", errorMessage: "no timestamp" } },
      outcome: "rejected",
    },
  },
  // https://www.standardwebhooks.com, checked by its own package.
  "hooks.example": {
    read(body, { headers }) {
      return new Webhook(`whsec_${TOKEN}`).verify(body, headers as Record<string, string>) as unknown[];
    },
    answer: () => "",
  },
};

function batchOf(events: readonly object[]): LeasedBatch {
  const stored = events.map((event, index) => ({
    id: index + 1,
    putAtMs: PUT_AT_MS,
    body: Buffer.from(JSON.stringify(event)),
  }));
  const joined = Buffer.from(stored.map(({ body }) => body.toString()).join(","));
  const ids = { firstId: 1, lastId: stored.length, count: stored.length };
  return { queue: "main", queueUuid: queueUuid(1), ...ids, joined, events: () => stored };
}

for (const { text, line } of readBlocks("docs/http.md").filter(({ language }) => language === "ini")) {
  const host = new URL(/http\.url = (.*)/.exec(text)![1]!).hostname;
  test(`the configuration for ${host} in docs/http.md, line ${line}, sends what the service reads`, async () => {
    const service = SERVICES[host]!;
    let isPoisoned = false;
    let stored: unknown[] = [];
    await using server = await serveHttp((response, request) => {
      const { headers, body } = request;
      stored = service.read(
        (headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString(),
        request,
      );
      const status = isPoisoned ? service.poison!.status : (service.status ?? 200);
      const answer = isPoisoned ? service.poison!.answer : service.answer?.(stored);
      const isText = typeof answer === "string";
      response.writeHead(status, { "Content-Type": isText ? "text/plain" : "application/json" });
      response.end(isText ? answer : JSON.stringify(answer));
    });
    const config = parsePublisherConfig(text, { env: { EVENTS_TOKEN: TOKEN } });
    assert.ok(config.destination.kind === "http");
    const { pathname, search } = new URL(config.destination.url);
    const here = { ...config.destination, url: `${server.url}${pathname}${search}` };
    const destination = openDestination({ ...config, destination: here });
    const send = async (): Promise<Outcome> =>
      (await destination.prepare(batchOf(EVENTS))).send(new AbortController().signal);
    assert.equal((await send()).kind, "accepted");
    assert.deepEqual(stored, EVENTS);
    isPoisoned = service.poison !== undefined;
    if (isPoisoned) assert.equal((await send()).kind, service.poison!.outcome);
    await destination.close();
  });
}

const DRIVER = `
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { EventQueue, serializeJsonEvent } from "eventspool";
import { loadPublisherConfig, Publisher } from "eventspool/publisher";
import { LakeDestination } from "./lake.ts";

using queue = new EventQueue("main", serializeJsonEvent);
queue.putMany([{ n: 1 }, { n: 2 }]);
const stop = new AbortController();
const lake = import.meta.dirname + "/lake";
const publisher = new Publisher(loadPublisherConfig(import.meta.dirname + "/publisher.ini"), {
  destination: new LakeDestination(lake),
  onDelivered: () => stop.abort(),
});
const timer = setInterval(() => {
  if (publisher.status().consecutiveFailures > 0) mkdirSync(lake, { recursive: true });
}, 20);
await publisher.run({ signal: stop.signal });
clearInterval(timer);
await publisher[Symbol.asyncDispose]();
for (const name of readdirSync(lake)) console.log(gunzipSync(readFileSync(lake + "/" + name)).toString().trim());
`;

test("the destination of docs/destinations.md compiles, and stores each event once its directory is there", {
  timeout: 600_000,
}, () => {
  using project = new Project({ ...filesOf(readPrograms("docs/destinations.md")), "driver.ts": DRIVER });
  assert.deepEqual(project.check(), { status: 0, output: "" });
  project.write(
    "publisher.ini",
    "[event-publisher:main]\ncollector.hostname = c.example\nkey.name = k\nkey.secret = YSBzZWNyZXQgb2YgMTYgYnl0ZXM=\nadmin.listen = off\n",
  );
  const { status, output } = project.run("driver.ts", { EVENTSPOOL_DIR: project.path });
  assert.deepEqual({ status, output }, { status: 0, output: '{"n":1}\n{"n":2}\n' });
});
