import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readVectors } from "./vectors.ts";

type RequestVersion = "2" | "2j";

interface HttpVector {
  name: string;
  version: RequestVersion;
  event_count: number;
  events: string[] | { recipe: string; all_lens: number[] | null };
  requests: {
    path: string;
    headers: [string, string][];
    plain_len: number;
    plain_sha256: string;
    signature: string;
  }[];
  key_name: string;
  key_secret_base64: string;
}

/** A request that baseplate.py sent, with its body before compression. */
export interface OriginalRequest {
  name: string;
  version: RequestVersion;
  path: string;
  headers: Record<string, string>;
  signature: string;
  events: Buffer[];
  body: Buffer;
}

/** What was put into a queue of baseplate.py, and the requests that its publisher made of it. */
export interface OriginalRun {
  name: string;
  version: RequestVersion;
  /** Those without a byte, which it drops, included. */
  events: Buffer[];
  requests: OriginalRequest[];
}

/** What baseplate.py's publisher sent, put together anew from the recipes and checked against its digests. */
export const originalRuns: OriginalRun[] = readVectors<HttpVector[]>("http").map((vector) => {
  const events = rebuildEvents(vector);
  const { name, version } = vector;
  return {
    name,
    version,
    events,
    requests: rebuildRequests(
      vector,
      events.filter((event) => event.length > 0),
    ),
  };
});

/** The requests of all runs. */
export const originalRequests: OriginalRequest[] = originalRuns.flatMap(({ requests }) => requests);

/** The key all of it was signed with. */
export const originalKeys: ReadonlyMap<string, Uint8Array> = new Map(
  readVectors<HttpVector[]>("http").map((v) => [v.key_name, Buffer.from(v.key_secret_base64, "base64")]),
);

/** Events with commas between them. */
export function joinEvents(events: readonly Uint8Array[]): Buffer {
  const comma = Buffer.from(",");
  return Buffer.concat(events.flatMap((event, index) => (index === 0 ? [event] : [comma, event])));
}

function rebuildRequests(vector: HttpVector, allEvents: Buffer[]): OriginalRequest[] {
  let events = allEvents;
  const requests = vector.requests.map((request, index) => {
    const sent = takeEvents(events, vector.version, request.plain_len);
    events = events.slice(sent.length);
    const body = frame(sent, vector.version);
    assert.equal(createHash("sha256").update(body).digest("hex"), request.plain_sha256, vector.name);
    return {
      name: `${vector.name} ${index + 1}`,
      version: vector.version,
      path: request.path,
      headers: Object.fromEntries(request.headers),
      signature: request.signature,
      events: sent,
      body,
    };
  });
  assert.equal(events.length, 0, `${vector.name}: every event was sent`);
  return requests;
}

function rebuildEvents({ version, event_count, events }: HttpVector): Buffer[] {
  if (Array.isArray(events)) return events.map((event) => Buffer.from(event, "base64"));
  if (!events.all_lens) return Array.from({ length: event_count }, (_, i) => tiny(i, version));
  return events.all_lens.map((length, i) => {
    const last = tiny(99, version);
    return length === last.length ? last : sized(i, length);
  });
}

function tiny(i: number, version: RequestVersion): Buffer {
  return Buffer.from(JSON.stringify(version === "2" ? { 1: { i64: i } } : { id: i }));
}

function sized(i: number, length: number): Buffer {
  const unpadded = JSON.stringify({ id: i, p: "" }).length;
  return Buffer.from(JSON.stringify({ id: i, p: "x".repeat(length - unpadded) }));
}

/** As many events as make a body of `bodyLength` bytes. */
function takeEvents(events: Buffer[], version: RequestVersion, bodyLength: number): Buffer[] {
  let count = 1;
  let size = events[0]!.length;
  while (count < events.length && frame([], version, count).length + size < bodyLength) {
    size += 1 + events[count]!.length; // a comma and the event
    count++;
  }
  return events.slice(0, count);
}

/** On purpose not the framing under test. */
function frame(events: Buffer[], version: RequestVersion, count: number = events.length): Buffer {
  const [head, tail] = version === "2" ? [`{"1":{"lst":["rec",${count},`, "]}}"] : ["[", "]"];
  return Buffer.concat([Buffer.from(head), joinEvents(events), Buffer.from(tail)]);
}
