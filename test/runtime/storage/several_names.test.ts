import assert from "node:assert/strict";
import { copyFileSync, linkSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { temporaryPathFor } from "../../../src/storage/locations.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { eventually } from "../../support/eventually.ts";
import { numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const FILE = "events-main.db";

function put(directory: string): void {
  using queue = new EventQueue("main", serializeJsonEvent, { directory });
  queue.put({ id: 1 });
}

function rejected(error: unknown): boolean {
  return error instanceof EventStorageError && error.code === "SEVERAL_NAMES";
}

test("rejects a queue file by each of its hard links, until one is left", () => {
  using place = temporaryDirectory();
  const [one, other] = [join(place.path, "one"), join(place.path, "other")];
  for (const directory of [one, other]) mkdirSync(directory);
  put(one);
  linkSync(join(one, FILE), join(other, FILE));
  for (const directory of [one, other]) assert.throws(() => put(directory), rejected);
  rmSync(join(other, FILE));
  put(one);
});

test("takes a queue file whose maker was killed before it removed the name under which it made it", () => {
  using place = temporaryDirectory();
  put(place.path);
  const file = join(place.path, FILE);
  linkSync(file, temporaryPathFor(file));
  put(place.path);
  copyFileSync(file, temporaryPathFor(file));
  linkSync(file, join(place.path, "backup.db"));
  assert.throws(() => put(place.path), rejected);
});

test("delivers from a queue file that is a link to another place", { timeout: 300_000 }, async () => {
  await using collector = await ScriptedCollector.open();
  using place = temporaryDirectory();
  const [real, linked] = [join(place.path, "real"), join(place.path, "linked")];
  for (const directory of [real, linked]) mkdirSync(directory);
  new EventQueue("main", serializeJsonEvent, { directory: real }).close();
  symlinkSync(join(real, FILE), join(linked, FILE));
  using spool = new Spool({ directory: linked });
  spool.put(9);
  const options = { directory: linked, durability: "power" } as const;
  using power = new EventQueue("main", (event: object) => Buffer.from(JSON.stringify(event)), options);
  await power.putAsync({ n: 10 });
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 10));
});

test("finds out that a link leads to another file than it did", () => {
  using place = temporaryDirectory();
  const [one, other, linked] = ["one", "other", "linked"].map((name) => join(place.path, name));
  for (const directory of [one!, other!, linked!]) mkdirSync(directory);
  put(one!);
  put(other!);
  const link = join(linked!, FILE);
  symlinkSync(join(one!, FILE), link);
  const file = QueueFile.open(link);
  try {
    assert.equal(file.path, join(one!, FILE));
    rmSync(link);
    symlinkSync(join(other!, FILE), link);
    assert.throws(() => file.checkPlace(), { code: "MOVED" });
  } finally {
    file.close();
  }
});
