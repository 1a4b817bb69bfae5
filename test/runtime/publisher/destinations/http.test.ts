import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { Webhook } from "standardwebhooks";
import { parsePublisherConfig } from "../../../../src/config/publisher_config.ts";
import type { Outcome } from "../../../../src/publisher/destinations/destination.ts";
import { openDestination } from "../../../../src/publisher/destinations/open_destination.ts";
import { queueUuid } from "../../../support/batches.ts";
import { iniOf, type Settings } from "../../../support/config.ts";
import { eventually } from "../../../support/eventually.ts";
import { newQueue } from "../../../support/publisher.ts";
import { type Answer, rejectingUrl, serveHttp, type TestServer } from "../../../support/servers.ts";

const NEVER = new AbortController().signal;
const EVENTS = ['{"n":1}', '{"n":\n2}', '{"text":"é\\n"}'];

function open(settings: Settings) {
  const all = { destination: "http", "http.timeout": "60s", ...settings };
  return openDestination(parsePublisherConfig(iniOf("event-publisher:main", all), { env: {} }));
}

/** Sends events of ids 101 and up, as often as asked, and gives the last outcome. */
async function deliver(
  url: string,
  settings: Settings = {},
  { events = EVENTS, times = 1 } = {},
): Promise<Outcome> {
  const destination = open({ "http.url": url, ...settings });
  const stored = events.map((text, index) => ({ id: 101 + index, putAtMs: 1, body: Buffer.from(text) }));
  let outcome: Outcome | undefined;
  for (let time = 0; time < times; time++) {
    const { send } = await destination.prepare({
      queue: "main",
      queueUuid: queueUuid(1),
      firstId: 101,
      lastId: 100 + events.length,
      count: events.length,
      joined: Buffer.from(events.join(",")),
      events: () => stored,
    });
    outcome = await send(NEVER);
  }
  await destination.close();
  return outcome!;
}

const ok: Answer = (response) => response.end();

function answer(status: number, body: unknown = "", headers: Record<string, string> = {}): Answer {
  return (response) =>
    response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
}

function bodyOf({ requests }: TestServer, index = 0): string {
  return gunzipSync(requests[index]!.body).toString();
}

test("writes an event a line, gzipped, as NDJSON", async () => {
  await using server = await serveHttp(ok);
  assert.deepEqual(await deliver(`${server.url}/in?table=events`), { kind: "accepted" });
  const [request] = server.requests;
  assert.equal(request!.path, "/in?table=events");
  assert.equal(request!.headers["content-type"], "application/x-ndjson");
  assert.equal(request!.headers["content-encoding"], "gzip");
  assert.equal(bodyOf(server), '{"n":1}\n{"n": 2}\n{"text":"é\\n"}\n', "a line feed in an event is a space");
});

test("writes a JSON array", async () => {
  await using server = await serveHttp(ok);
  await deliver(server.url, { "http.body": "json_array" });
  assert.equal(server.requests[0]!.headers["content-type"], "application/json");
  assert.deepEqual(
    JSON.parse(bodyOf(server)),
    EVENTS.map((event) => JSON.parse(event)),
  );
});

test("writes texts before, between, after and around events, with ids and names in them", async () => {
  await using server = await serveHttp(ok);
  await deliver(server.url, {
    "http.body": "template",
    "http.template.before": '{"queue":"{queue}","events":[\\n',
    "http.template.event":
      '{"id":"{id}","event":{event},"text":{event_string},"at":[{put_at_s},{put_at_ms}],"path":"C:\\\\\\\\x"}',
    "http.template.between": ",\\n",
    "http.template.after": "\\n]}",
  });
  const { queue, events } = JSON.parse(bodyOf(server)) as { queue: string; events: object[] };
  assert.equal(queue, "main");
  assert.deepEqual(events[2], {
    id: `${queueUuid(1)}:103`,
    event: { text: "é\n" },
    text: '{"text":"é\\n"}',
    at: [0.001, 1],
    path: "C:\\x",
  });
});

test("sends uncompressed bodies when told to, and headers whose secret is in the configuration", async () => {
  await using server = await serveHttp(ok);
  await deliver(server.url, {
    "http.compression": "none",
    "http.header.X-Api-Key": "k1",
    "http.header.content-type": "text/plain",
  });
  const { headers, body } = server.requests[0]!;
  assert.equal(headers["content-encoding"], undefined);
  assert.equal(headers["x-api-key"], "k1");
  assert.equal(headers["content-type"], "text/plain");
  assert.match(body.toString(), /^\{"n":1\}\n/);
});

test("logs in with a token, or with a user and a password", async () => {
  await using server = await serveHttp(ok);
  await deliver(server.url, { "http.auth": "bearer", "http.token": "t0" });
  await deliver(server.url, { "http.auth": "basic", "http.user": "ü", "http.password": "p:w" });
  const [bearer, basic] = server.requests.map(({ headers }) => headers.authorization);
  assert.equal(bearer, "Bearer t0");
  assert.equal(Buffer.from(basic!.slice("Basic ".length), "base64").toString(), "ü:p:w");
});

test("signs as Standard Webhooks says, with the same id at each attempt", async () => {
  await using server = await serveHttp(answer(503));
  const secret = `whsec_${Buffer.from("a secret of a webhook, 32 bytes!").toString("base64")}`;
  await deliver(server.url, { "http.auth": "standard-webhooks", "http.secret": secret }, { times: 2 });
  const webhook = new Webhook(secret);
  for (const { headers, body } of server.requests) {
    webhook.verify(body.toString(), headers as Record<string, string>, { jsonParse: false } as never);
    assert.throws(() => webhook.verify(`${body} `, headers as Record<string, string>), /signature/);
  }
  const ids = server.requests.map(({ headers }) => headers["webhook-id"]);
  assert.deepEqual(ids, [`${queueUuid(1)}:101-103`, `${queueUuid(1)}:101-103`]);
});

test("names the events of a request in Idempotency-Key", async () => {
  await using server = await serveHttp(ok);
  await deliver(server.url);
  assert.equal(server.requests[0]!.headers["idempotency-key"], `"${queueUuid(1)}:101-103"`);
});

test("compresses by zstd once the service says that it takes it, and by gzip again once it does not", async () => {
  let count = 0;
  await using server = await serveHttp((response) => {
    const headers = [{ "Accept-Encoding": "gzip, zstd;q=0.5" }, {}, {}][count] ?? {};
    response.writeHead([200, 200, 415, 200][count++]!, headers).end();
  });
  await deliver(server.url, {}, { times: 4 });
  const encodings = server.requests.map(({ headers }) => headers["content-encoding"]);
  assert.deepEqual(encodings, ["gzip", "zstd", "zstd", "gzip"]);
  assert.equal(zstdDecompressSync(server.requests[1]!.body).toString(), bodyOf(server));
});

test("does not take a service for one that knows zstd when it says that it does not want it", async () => {
  await using server = await serveHttp(answer(200, "", { "Accept-Encoding": "gzip, zstd;q=0" }));
  await deliver(server.url, {}, { times: 2 });
  assert.equal(server.requests[1]!.headers["content-encoding"], "gzip");
});

const PAGE = "<!doctype html><title>Welcome to nginx!</title>";

const CLICKHOUSE = { "http.response": "clickhouse" };

/** What a service answers, and what that means for the events. */
const meanings: readonly (readonly [
  what: string,
  Answer,
  Settings,
  expected: Partial<Outcome>,
  said?: RegExp,
])[] = [
  ["a page with 200", answer(200, PAGE, { "Content-Type": "text/html" }), {}, { kind: "misconfigured" }],
  ["a page with 201 and no type", answer(201, PAGE), {}, { kind: "misconfigured" }],
  [
    "a failure in JSON with 200",
    answer(200, { errors: true }),
    {},
    { kind: "misconfigured" },
    /http\.response/,
  ],
  ["success: false", answer(200, { success: false }), {}, { kind: "misconfigured" }],
  ["any JSON with 200", answer(200, { status: 1, errors: [] }), {}, { kind: "accepted" }],
  ["the events again", answer(201, "x".repeat(200_000)), {}, { kind: "accepted" }],
  ["207", answer(207, "[]"), {}, { kind: "misconfigured" }],
  ["207 that is configured", answer(207, "[]"), { "http.accepted_statuses": "207" }, { kind: "accepted" }],
  ["200 that is not configured", ok, { "http.accepted_statuses": "202" }, { kind: "misconfigured" }],
  [
    "a page with a configured status",
    answer(207, PAGE),
    { "http.accepted_statuses": "207" },
    { kind: "misconfigured" },
  ],
  [
    "a redirect",
    answer(302, "", { Location: "/" }),
    {},
    { kind: "misconfigured" },
    /never followed: see http\.url/,
  ],
  ["401", answer(401, { message: "no" }), {}, { kind: "misconfigured" }, /see http\.auth/],
  ["404", answer(404), {}, { kind: "misconfigured" }, /see http\.url/],
  ["415", answer(415), {}, { kind: "misconfigured" }, /see http\.body, http\.compression/],
  ["400", answer(400, "bad"), {}, { kind: "rejected", status: 400, response: "bad" }],
  ["413", answer(413), {}, { kind: "rejected", status: 413 }],
  ["a page with 400", answer(400, PAGE), {}, { kind: "misconfigured" }],
  [
    "400 that is configured as no rejection",
    answer(400),
    { "http.rejected_statuses": "422" },
    { kind: "misconfigured" },
  ],
  [
    "409 that is configured as a rejection",
    answer(409),
    { "http.rejected_statuses": "409" },
    { kind: "rejected" },
  ],
  ["429", answer(429, "", { "Retry-After": "3" }), {}, { kind: "unavailable", retryAfterMs: 3_000 }],
  ["503", answer(503), {}, { kind: "unavailable" }],
  ["507, a full disk", answer(507, "Insufficient Storage"), {}, { kind: "unavailable" }],
  ["ClickHouse's empty body", ok, CLICKHOUSE, { kind: "accepted" }],
  [
    "an error of ClickHouse behind 200",
    answer(200, "Code: 241. DB::Exception"),
    CLICKHOUSE,
    { kind: "misconfigured" },
  ],
  [
    "a row that ClickHouse cannot parse, behind 200",
    answer(200, "Code: 27. DB::E"),
    CLICKHOUSE,
    { kind: "rejected" },
  ],
  [
    "a row that ClickHouse cannot parse, with 500",
    answer(500, "Code: 27, e.disp"),
    CLICKHOUSE,
    { kind: "rejected" },
  ],
  [
    "a query that ClickHouse cannot parse",
    answer(400, "Code: 62. DB::Exception: Syntax error"),
    CLICKHOUSE,
    { kind: "misconfigured" },
    /see http\.url/,
  ],
  ["an unknown value of ClickHouse's Enum", answer(400, "Code: 36. DB::E"), CLICKHOUSE, { kind: "rejected" }],
  ["ClickHouse's 413", answer(413, "Code: 307. DB::E"), CLICKHOUSE, { kind: "rejected" }],
  ["ClickHouse's full disk", answer(500, "Code: 243. DB::Exception"), CLICKHOUSE, { kind: "unavailable" }],
];

for (const [what, say, settings, expected, said] of meanings)
  test(`takes ${what} for ${expected.kind}`, async () => {
    await using server = await serveHttp(say);
    const outcome = await deliver(server.url, settings);
    assert.partialDeepStrictEqual(outcome, expected);
    if (said !== undefined) assert.match((outcome as { reason: string }).reason, said);
  });

const BULK = { "http.response": "elasticsearch" };
const CREATED = { create: { status: 201 } };

/** One item of Elasticsearch's answer: an error of a status. */
function failed(status: number, type: string) {
  return { create: { status, error: { type, reason: "because" } } };
}

test("takes a bulk request for accepted when Elasticsearch has each event, those of before included", async () => {
  const items = [CREATED, failed(409, "version_conflict_engine_exception"), CREATED];
  await using server = await serveHttp(answer(200, { took: 3, errors: true, items }));
  assert.deepEqual(await deliver(server.url, BULK), { kind: "accepted", duplicates: 1 });
  await using clean = await serveHttp(answer(200, { errors: false })); // with filter_path
  assert.deepEqual(await deliver(clean.url, BULK), { kind: "accepted" });
});

test("makes dead letters of the events that Elasticsearch cannot map, and sends again those that it had no room for", async () => {
  const items = [
    failed(400, "document_parsing_exception"),
    CREATED,
    failed(429, "es_rejected_execution_exception"),
  ];
  await using server = await serveHttp(answer(200, { errors: true, items }));
  const outcome = await deliver(server.url, BULK);
  assert.partialDeepStrictEqual(outcome, {
    kind: "partial",
    rejected: [
      { id: 101, status: 400, response: '{"type":"document_parsing_exception","reason":"because"}' },
    ],
    undelivered: [103],
    failure: { kind: "unavailable" },
  });
});

test("reads the longest answer of Elasticsearch: each of thousands of events is rejected", async () => {
  const events = Array.from({ length: 20_000 }, () => "{}");
  const item = {
    create: { status: 400, error: { type: "document_parsing_exception", reason: "r".repeat(500) } },
  };
  await using server = await serveHttp(answer(200, { errors: true, items: events.map(() => item) }));
  const outcome = await deliver(server.url, BULK, { events });
  assert.ok(outcome.kind === "partial");
  assert.equal(outcome.rejected.length, events.length);
});

test("keeps all events when Elasticsearch rejects the request, and halves one that is too large", async () => {
  for (const [status, kind] of [
    [400, "misconfigured"],
    [413, "rejected"],
    [503, "unavailable"],
  ] as const) {
    await using server = await serveHttp(
      answer(status, { error: { type: "x_content_parse_exception" }, status }),
    );
    assert.equal((await deliver(server.url, BULK)).kind, kind);
  }
  const reason = "pipeline with id [orders] does not exist";
  const items = EVENTS.map(() => ({
    create: { status: 400, error: { type: "illegal_argument_exception", reason } },
  }));
  await using server = await serveHttp(answer(200, { errors: true, items }));
  assert.partialDeepStrictEqual(await deliver(server.url, BULK), { kind: "misconfigured" });
});

test("keeps all events when their index does not exist or may not be written", async () => {
  for (const status of [404, 403]) {
    const items = EVENTS.map(() => failed(status, "index_not_found_exception"));
    await using server = await serveHttp(answer(200, { errors: true, items }));
    assert.partialDeepStrictEqual(await deliver(server.url, BULK), { kind: "misconfigured" });
  }
});

test("takes a bulk answer that does not account for each event for no acceptance", async () => {
  for (const body of [
    { errors: true, items: [CREATED] },
    { errors: false, items: [] },
    { errors: false, items: [CREATED, CREATED] },
    {},
    "",
    { errors: true, items: [CREATED, {}, 7] },
  ]) {
    await using server = await serveHttp(answer(200, body));
    const { kind } = await deliver(server.url, BULK);
    assert.ok(kind === "misconfigured" || kind === "partial", `${JSON.stringify(body)}: ${kind}`);
  }
});

test("takes events that a service sends back for no report of failures, if told so, but never a web page", async () => {
  await using echo = await serveHttp(answer(200, [{ action: "login", error: "wrong password" }]));
  assert.equal((await deliver(echo.url, {})).kind, "misconfigured");
  assert.deepEqual(await deliver(echo.url, { "http.response": "any" }), { kind: "accepted" });
  await using page = await serveHttp(answer(200, "<!doctype html><p>Welcome"));
  assert.equal((await deliver(page.url, { "http.response": "any" })).kind, "misconfigured");
});

test("takes an OTLP answer with rejected records for a rejection, and a warning for none", async () => {
  const settings = { "http.response": "otlp" };
  const partialSuccess = { rejectedLogRecords: "1", errorMessage: "too old" };
  await using server = await serveHttp(answer(200, { partialSuccess }));
  assert.deepEqual(await deliver(server.url, settings), {
    kind: "rejected",
    status: 422,
    response: "too old",
  });
  for (const body of ["OK", "\n\x04\b\x02", { partial_success: { rejected_log_records: 1 } }]) {
    await using other = await serveHttp(answer(200, body));
    assert.equal((await deliver(other.url, settings)).kind, "misconfigured", JSON.stringify(body));
  }
  for (const body of [{}, { partialSuccess: {} }, { partialSuccess: { errorMessage: "soon deprecated" } }]) {
    await using fine = await serveHttp(answer(200, body));
    assert.deepEqual(await deliver(fine.url, settings), { kind: "accepted" });
  }
});

test("shows no secret of the URL, in its path neither", async () => {
  const url = await rejectingUrl();
  const outcome = await deliver(`${url}/in/T0123456/s3cret-of-ours?token=s3cret`);
  assert.equal(outcome.kind, "unavailable");
  assert.match((outcome as { reason: string }).reason, /\/in\/\[redacted\]\/\[redacted\]\?\[redacted\]: /);
  assert.doesNotMatch(JSON.stringify(outcome), /s3cret|T0123456/);
});

test("shows no secret that the service sends back", async () => {
  const secret = "s3cret-of-ours";
  const echoed = [secret, Buffer.from(`main:${secret}`).toString("base64")];
  for (const settings of [
    { "http.auth": "bearer", "http.token": secret },
    { "http.auth": "basic", "http.user": "main", "http.password": secret },
    { "http.header.authorization": `Splunk ${secret}` },
    { "http.header.x-api-key": secret },
    { "http.proxy": `http://main:${secret}@SERVER` },
  ] satisfies Settings[])
    for (const status of [200, 400, 401, 500]) {
      await using server = await serveHttp((response, { path, headers }) =>
        answer(status, { error: { path, headers, password: secret } })(response, server.requests[0]!),
      );
      const proxy = settings["http.proxy"]?.replace("SERVER", new URL(server.url).host);
      const all = { ...settings, ...(proxy && { "http.proxy": proxy }) };
      const text = JSON.stringify(
        await deliver(`${server.url}/in/${secret}%21?table=orders&token=${secret}`, all),
      );
      assert.match(text, /table=orders.*\[redacted\].*x-ndjson/);
      for (const shown of echoed) assert.ok(!text.includes(shown), text);
    }
});

test("finds the one event that a changed schema rejects, and delivers the others through outages and restarts", async () => {
  const stored = new Set<number>();
  let requests = 0;
  await using server = await serveHttp((response, { body }) => {
    const ids = gunzipSync(body)
      .toString()
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: number }).id);
    requests++;
    if (requests === 1) return void response.socket?.resetAndDestroy();
    if (requests === 2) return void response.writeHead(507).end("the disk is full");
    if (ids.includes(13)) return void response.writeHead(400).end("column id: 13 is unlucky");
    for (const id of ids) stored.add(id);
    response.end();
  });
  await using main = newQueue("http://127.0.0.1:9", {
    destination: "http",
    "http.url": server.url,
    "batch.max_events": "7",
  });
  main.queue.putMany(Array.from({ length: 30 }, (_, index) => ({ id: index + 1 })));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.deepEqual(
    [...stored].sort((a, b) => a - b),
    Array.from({ length: 30 }, (_, index) => index + 1).filter((id) => id !== 13),
  );
  const [letter, ...more] = main.publisher.deadLetters.list({ limit: 9 });
  assert.deepEqual([letter?.status, more.length], [400, 0]);
});
