import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventQueue, serializeJsonEvent } from "../../../../src/mod.ts";
import { FileDestination } from "../../../../src/publisher/destinations/file.ts";
import { eventually } from "../../../support/eventually.ts";
import { newPublisher } from "../../../support/publisher.ts";
import { noSmallDisks, SmallDisk } from "../../../support/small_disk.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const NEVER = new AbortController().signal;

function batchOf(...texts: string[]) {
  const events = () => texts.map((text, index) => ({ id: index + 1, putAtMs: 0, body: Buffer.from(text) }));
  const joined = Buffer.from(texts.join(","));
  return {
    queue: "main",
    queueUuid: "u",
    firstId: 1,
    lastId: texts.length,
    count: texts.length,
    joined,
    events,
  };
}

async function deliver(destination: FileDestination, ...events: string[]) {
  return (await destination.prepare(batchOf(...events))).send(NEVER);
}

test("appends each event as a line, in batches that do not mix", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl");
  const destination = new FileDestination(path);

  const outcomes = await Promise.all([
    deliver(destination, '{"id":9007199254740993}', '{"a":\n2}'),
    deliver(destination, '{"é":3}'),
  ]);
  await destination.close();

  assert.deepEqual(outcomes, [{ kind: "accepted" }, { kind: "accepted" }]);
  assert.equal(readFileSync(path, "utf8"), '{"id":9007199254740993}\n{"a": 2}\n{"é":3}\n');
});

test("begins a new line after one that was cut off", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl");
  writeFileSync(path, '1\n{"cut');
  const destination = new FileDestination(path);
  await deliver(destination, "2");
  await deliver(destination, "3");
  assert.equal(readFileSync(path, "utf8"), '1\n{"cut\n2\n3\n');
});

test("cuts nothing off when the disk is full: another publisher may have appended", {
  skip: noSmallDisks,
}, async () => {
  using disk = new SmallDisk(1);
  const path = join(disk.path, "events.jsonl");
  const large = JSON.stringify("x".repeat(2_000_000));
  assert.equal((await deliver(new FileDestination(path), large)).kind, "unavailable");
  const { size } = statSync(path);
  truncateSync(path, size - 100_000); // as if there was room again
  assert.deepEqual(await deliver(new FileDestination(path), "1"), { kind: "accepted" });
  assert.ok(size > 500_000);
  assert.match(readFileSync(path, "utf8"), /^"x{400000,}\n1\n$/);
});

test("does not start to write into the queue itself", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  for (const suffix of ["", "-wal", "-shm"])
    assert.throws(() => {
      const settings = { destination: "file", "file.path": queue.file + suffix };
      newPublisher("http://unused", directory.path, settings);
    }, /^ConfigurationError: file\.path: .* is a file of the queue itself: name another\.$/);
});

test("closes once all that was sent is in the file", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl");
  const destination = new FileDestination(path);
  const sent = (await destination.prepare(batchOf("1", "2"))).send(NEVER);
  await destination.close();
  assert.equal(readFileSync(path, "utf8"), "1\n2\n");
  assert.deepEqual(await sent, { kind: "accepted" });
});

test("keeps the events while the file cannot be written, and says which", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl");
  mkdirSync(path);
  const destination = new FileDestination(path);

  const outcome = await deliver(destination, "{}");
  assert.equal(outcome.kind, "misconfigured");
  assert.match((outcome as { reason: string }).reason, /^Cannot write .*events\.jsonl: /);

  rmdirSync(path);
  assert.deepEqual(await deliver(destination, "{}"), { kind: "accepted" });
});

test("is a destination of a publisher by its configuration", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "out.jsonl");
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  queue.putMany(Array.from({ length: 2_000 }, (_, n) => ({ n })));
  writeFileSync(path, '{"n":"before"}\n');
  {
    const settings = { destination: "file", "file.path": path };
    await using publisher = newPublisher("http://unused", directory.path, settings);
    void publisher.run();
    await eventually("an empty queue", () => queue.depth() === 0);
  }
  const lines = readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).n);
  assert.deepEqual(lines, ["before", ...Array.from({ length: 2_000 }, (_, n) => n)]);
});
