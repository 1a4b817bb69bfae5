import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { LiveFeed, type Update } from "../../../../src/admin/dashboard/live.ts";
import { eventually } from "../../../support/eventually.ts";

const NEVER = new AbortController().signal;

function serve(feed: LiveFeed): Hono {
  return new Hono().get("/", (c) => streamSSE(c, (stream) => feed.send(stream)));
}

function counting(): { read: () => Update; count: number } {
  const counter = {
    count: 0,
    read: (): Update => ({ regions: { always: "the same", count: `${++counter.count}` } }),
  };
  return counter;
}

test("gives up a page that takes nothing of what it is sent", async () => {
  const feed = new LiveFeed(counting().read, NEVER, 10);
  const response = await serve(feed).request("/"); // and nobody reads its body
  assert.equal(feed.pages, 1);
  await eventually("the end of the stream", () => feed.pages === 0);
  await response.body!.cancel();
});

test("makes an update once for all pages, and none before anybody looks", async () => {
  const counter = counting();
  const feed = new LiveFeed(counter.read, NEVER);
  const app = serve(feed);
  assert.equal(counter.count, 0);
  const readers = await Promise.all([1, 2, 3].map(async () => (await app.request("/")).body!.getReader()));
  const read = async (): Promise<string[]> =>
    Promise.all(readers.map(async (reader) => new TextDecoder().decode((await reader.read()).value)));

  await read();
  assert.equal(counter.count, 3, "each begins with its own");
  const second = await read();
  assert.equal(counter.count, 4);
  for (const text of second) assert.equal(text, 'data: {"regions":{"count":"4"}}\nretry: 2000\n\n');

  for (const reader of readers) await reader.cancel();
  await eventually("the end of the streams", () => feed.pages === 0);
});
