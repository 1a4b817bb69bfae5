import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { LiveFeed, type Update } from "../../../../src/admin/dashboard/live.ts";
import { eventually } from "../../../support/eventually.ts";

/** Frees what nobody holds any more. */
function collectGarbage(): void {
  const { Bun } = globalThis as { Bun?: { gc(isSync: boolean): void } };
  if (process.versions.bun === undefined) setFlagsFromString("--expose-gc");
  const collect: () => void = Bun === undefined ? runInNewContext("gc") : () => Bun.gc(true);
  collect();
}

const NEVER = new AbortController().signal;

function counting(): { read: () => Update; count: number } {
  const counter = {
    count: 0,
    read: (): Update => ({ regions: { always: "the same", count: `${++counter.count}` } }),
  };
  return counter;
}

test("closes the stream of a page that reads nothing", async () => {
  const feed = new LiveFeed(counting().read, NEVER, { everyMs: 5, stallMs: 10 });
  const stream = feed.open(); // and nobody reads it
  assert.equal(feed.pages, 1);
  await eventually("the end of the stream", () => feed.pages === 0);
  await assert.rejects(stream.cancel(), /the page reads nothing/, "an error ends the connection too");
});

test("makes an update once for all pages, and none before anybody looks", async () => {
  const counter = counting();
  const feed = new LiveFeed(counter.read, NEVER, { everyMs: 200 });
  assert.equal(counter.count, 0);
  const readers = [1, 2, 3].map(() => feed.open().getReader());
  const read = async (): Promise<string[]> =>
    Promise.all(readers.map(async (reader) => new TextDecoder().decode((await reader.read()).value)));

  await read();
  assert.equal(counter.count, 3, "each begins with its own");
  const second = await read();
  assert.equal(counter.count, 4);
  for (const text of second) assert.equal(text, 'data: {"regions":{"count":"4"}}\nretry: 2000\n\n');

  for (const reader of readers) await reader.cancel();
  assert.equal(feed.pages, 0);
});

test("sends a page that was slow all that has changed since", async () => {
  let shown = { a: "1", b: "1" };
  const feed = new LiveFeed(() => ({ regions: shown }), NEVER, { everyMs: 5 });
  const reader = feed.open().getReader();
  shown = { a: "2", b: "1" };
  const other = feed.open().getReader();
  await other.read();
  await other.read(); // a tick has passed, and the slow page has not taken its first update
  shown = { a: "2", b: "3" };

  const told: Record<string, string> = {};
  while (told.a !== "2" || told.b !== "3") {
    const text = new TextDecoder().decode((await reader.read()).value);
    Object.assign(told, (JSON.parse(/^data: (.+)$/m.exec(text)![1]!) as Update).regions);
  }
  await Promise.all([reader.cancel(), other.cancel()]);
});

test("keeps no update once it is sent, however long the page stays open", async () => {
  const updates: WeakRef<Update>[] = [];
  const read = (): Update => {
    const update = { regions: { list: `${updates.length} ${"x".repeat(10_000)}` } };
    updates.push(new WeakRef(update));
    return update;
  };
  const feed = new LiveFeed(read, NEVER, { everyMs: 1 });
  const reader = feed.open().getReader();
  while (updates.length < 300) await reader.read();

  await eventually("the end of the updates", () => {
    collectGarbage();
    return updates.filter((update) => update.deref() !== undefined).length < 30;
  });
  assert.equal(feed.pages, 1);
  await reader.cancel();
});

test("sends one update more when the publisher stops, and ends", async () => {
  const stop = new AbortController();
  const feed = new LiveFeed(counting().read, stop.signal, { everyMs: 60_000 });
  const reader = feed.open().getReader();
  await reader.read();
  stop.abort();
  assert.match(new TextDecoder().decode((await reader.read()).value), /"count":"2"/);
  assert.equal((await reader.read()).done, true);
  assert.equal(feed.pages, 0);
});
