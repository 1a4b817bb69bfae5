import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { LeasedBatch, Outcome } from "../../../../src/publisher/destinations/destination.ts";
import type { HttpLocation } from "../../../../src/publisher/destinations/http.ts";
import { VERSION } from "../../../../src/version.ts";
import { checkEventIds, parseSignature } from "../../../../src/wire/signature.ts";
import { queueUuid } from "../../../support/batches.ts";
import { collectorAt } from "../../../support/collector.ts";
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
