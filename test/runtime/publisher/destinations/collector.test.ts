import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { resetSync } from "@logtape/logtape";
import type { LeasedBatch, Outcome } from "../../../../src/publisher/destinations/destination.ts";
import type { HttpLocation } from "../../../../src/publisher/destinations/http.ts";
import { VERSION } from "../../../../src/version.ts";
import { checkEventIds, parseSignature } from "../../../../src/wire/signature.ts";
import { queueUuid } from "../../../support/batches.ts";
import { captureLog } from "../../../support/captured_log.ts";
import { collectorAt, serveCollector } from "../../../support/collector.ts";
import { KEY } from "../../../support/keys.ts";
import { originalRequests } from "../../../support/original_requests.ts";
import { serveHttp } from "../../../support/servers.ts";

const NEVER = new AbortController().signal;

/** Events as a queue leases them, by their ids. */
function batchOf(texts: Readonly<Record<number, string>>, lastId?: number): LeasedBatch {
  const events = () =>
    Object.entries(texts).map(([id, text]) => ({ id: Number(id), putAtMs: 0, body: Buffer.from(text) }));
  const ids = events().map(({ id }) => id);
  return {
    queue: "main",
    queueUuid: queueUuid(1),
    firstId: ids[0]!,
    lastId: lastId ?? ids.at(-1)!,
    count: ids.length,
    joined: Buffer.from(Object.values(texts).join(",")),
    events,
  };
}

async function deliver(
  url: string,
  batch: LeasedBatch,
  location: Partial<HttpLocation> = {},
): Promise<Outcome> {
  const destination = collectorAt(`${url}/v2j`, location);
  const { send } = await destination.prepare(batch);
  const outcome = await send(NEVER);
  await destination.close();
  return outcome;
}

test("sends the headers and the body of the original, except its name and what it does not have", async () => {
  await using server = await serveHttp((response) => response.end());
  const { body, headers, events } = originalRequests.find(
    ({ name, version }) => version === "2j" && !name.includes("n9"),
  )!;
  const batch = batchOf(Object.fromEntries(events.map((event, index) => [index + 1, event.toString()])));
  const before = Date.now();
  assert.deepEqual(await deliver(server.url, batch), { kind: "accepted" });

  const [sent] = server.requests;
  assert.ok(gunzipSync(sent!.body).equals(body));
  for (const header of ["Content-Type", "Content-Encoding"])
    assert.equal(sent!.headers[header.toLowerCase()], headers[header], header);
  assert.equal(sent!.headers["user-agent"], `eventspool/${VERSION}`);
  assert.equal(sent!.headers.accept, "application/json", "or WebOb explains a 400 in HTML");
  assert.match(sent!.headers.date!, /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
  assert.ok(Math.abs(Date.parse(sent!.headers.date!) - before) < 60_000);
});

test("signs the ids again at each attempt, over the time, the ids and the body's MAC", async () => {
  await using server = await serveHttp((response) => response.writeHead(503).end());
  const destination = collectorAt(`${server.url}/v2j`);
  const { send } = await destination.prepare(batchOf({ 5: "1", 6: "2" }));
  const realNow = Date.now;
  try {
    await send(NEVER);
    Date.now = () => realNow() + 3_600_000;
    await send(NEVER);
  } finally {
    Date.now = realNow;
  }
  await destination.close();

  const checked = server.requests.map(({ headers }, nth) => {
    const eventIds = String(headers["event-ids"]);
    const { mac: bodyMac } = parseSignature(String(headers["x-signature"]))!;
    const nowMs = realNow() + nth * 3_600_000;
    const header = String(headers["event-ids-signature"]);
    return [eventIds, checkEventIds(header, { eventIds, bodyMac }, { secret: KEY.secret, nowMs })];
  });
  const expected = [`${queueUuid(1)}:5-6`, "verified"];
  assert.deepEqual(checked, [expected, expected]);
});

test("names the events one by one where rows between them were deleted", async () => {
  await using server = await serveHttp((response) => response.end());
  await deliver(server.url, batchOf({ 1: "1", 2: "2", 5: "3" }, 7));
  assert.equal(server.requests[0]!.headers["event-ids"], `${queueUuid(1)}:1-2,5`);
});

test("names no events where so many rows were deleted that servers would not take the header", async () => {
  await using server = await serveHttp((response) => response.end());
  const holes = Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [n * 2 + 1, "1"]));
  await deliver(server.url, batchOf(holes));
  assert.equal(server.requests[0]!.headers["event-ids"], undefined);
  assert.equal(server.requests[0]!.headers["event-ids-signature"], undefined);
});

test("frees the memory of a batch once its body is made, and keeps a single event and what shares its memory", async () => {
  const destination = collectorAt("http://127.0.0.1:9/v2j");
  const prepare = async (count: number, joined: Uint8Array): Promise<number> => {
    await destination.prepare({ ...batchOf({ 1: "1", 2: "2" }), count, joined });
    return joined.length;
  };
  assert.equal(await prepare(2, new Uint8Array(100_000).fill(0x20)), 0);
  assert.equal(await prepare(1, new Uint8Array(100_000).fill(0x20)), 100_000);
  assert.equal(await prepare(2, new Uint8Array(100_000).subarray(1)), 99_999);
  await destination.close();
});

test("takes a response that a cache repeats for none to other events", async () => {
  await using collector = await serveCollector();
  let cached: Promise<{ headers: [string, string][]; text: string }> | undefined;
  await using cache = await serveHttp((response, { path, headers, body }) => {
    cached ??= fetch(new URL(path, collector.url), {
      method: "POST",
      headers: headers as Record<string, string>,
      body: body as Uint8Array<ArrayBuffer>,
    }).then(async (answer) => ({ headers: [...answer.headers], text: await answer.text() }));
    void cached.then(({ headers, text }) => {
      for (const [name, value] of headers) if (name !== "transfer-encoding") response.setHeader(name, value);
      response.end(text);
    });
  });
  assert.deepEqual(await deliver(cache.url, batchOf({ 1: "1" })), { kind: "accepted", duplicates: 0 });
  const other = await deliver(cache.url, batchOf({ 2: "2" }));
  assert.equal(other.kind, "misconfigured");
  assert.match((other as { reason: string }).reason, /200, to other events, such as from a cache/);
  assert.equal(collector.batches.length, 1);
});

for (const report of ['{"accepted":1,"duplicates":0}', '{"accepted":1}'])
  test(`says that events may be lost if a collector accounts for batches by ${report} after something else accepted some`, async () => {
    const answers = ["", "OK", report];
    await using server = await serveHttp((response) => response.end(answers.shift()));
    const records = captureLog();
    const destination = collectorAt(`${server.url}/v2j`);
    for (const id of [1, 2, 3]) {
      assert.deepEqual(destination.risks, []);
      const { send } = await destination.prepare(batchOf({ [id]: "1" }));
      assert.equal((await send(NEVER)).kind, "accepted");
    }
    await destination.close();
    resetSync();
    assert.match(destination.risks.join(), /^2 events were accepted by responses that do not say how many/);
    const ours = records.filter(({ rawMessage }) => /how many it took|may be lost/.test(String(rawMessage)));
    const said = ours.map(({ level, properties }) => [level, properties.firstId]);
    assert.deepEqual(said, [
      ["warning", 1],
      ["error", 3],
    ]);
  });
