import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Presence, seenPublisher } from "../../../src/storage/presence.ts";
import { VERSION } from "../../../src/version.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const REPORT = { health: "ok", reasons: [], delivered: 3, lastSuccessAtMs: 1_795_530_000_000 };

function placeFor(): { queue: string; shown: string; path: string } & Disposable {
  const directory = temporaryDirectory();
  const queue = join(directory.path, "events-main.db");
  return {
    queue,
    shown: `${queue}-publisher`,
    path: directory.path,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

test("a publisher is seen with its last report while it shows itself, and not after it has stopped", () => {
  using place = placeFor();
  assert.equal(seenPublisher(place.queue, "default"), undefined);
  const presence = new Presence(place.queue, "default", 0o600);
  presence.show(REPORT);
  const seen = seenPublisher(place.queue, "default")!;
  assert.equal(seen.isAlive, true);
  assert.deepEqual(seen.report, { pid: process.pid, version: VERSION, ...REPORT });
  assert.equal(statSync(place.shown).mode & 0o777, 0o600);

  utimesSync(place.shown, new Date(0), new Date(0));
  assert.equal(seenPublisher(place.queue, "default")!.isAlive, false, "killed, or hanging");
  presence.show(REPORT); // the same: only the time is written
  assert.equal(seenPublisher(place.queue, "default")!.isAlive, true);
  presence.show({ ...REPORT, health: "failing", reasons: ["the queue is full"] });
  assert.deepEqual(seenPublisher(place.queue, "default")!.report!.reasons, ["the queue is full"]);
  assert.deepEqual(readdirSync(place.path), ["events-main.db-publisher"]);
  presence.end();
  assert.equal(seenPublisher(place.queue, "default"), undefined);
});

test("two publishers of a queue show themselves, also when one of them stops", () => {
  using place = placeFor();
  const [one, other] = [
    new Presence(place.queue, "default", 0o600),
    new Presence(place.queue, "default", 0o600),
  ];
  one.show(REPORT);
  other.show({ ...REPORT, delivered: 4 });
  one.show(REPORT);
  one.end();
  other.show({ ...REPORT, delivered: 4 });
  other.show({ ...REPORT, delivered: 4 });
  assert.equal(seenPublisher(place.queue, "default")!.report!.delivered, 4);
});

test("a symbolic link in its place is not followed, and other contents are no report", () => {
  using place = placeFor();
  const victim = join(place.path, "victim");
  writeFileSync(victim, "precious");
  symlinkSync(victim, place.shown);
  new Presence(place.queue, "default", 0o600).show(REPORT);
  assert.equal(readFileSync(victim, "utf8"), "precious");
  assert.equal(seenPublisher(place.queue, "default")!.report!.delivered, 3);
  for (const text of [
    "",
    "null",
    "[]",
    "{}",
    '{"pid":1,"version":"1","health":"ok","reasons":[{}],"delivered":1}',
  ]) {
    writeFileSync(place.shown, text);
    assert.deepEqual(
      [seenPublisher(place.queue, "default")!.isAlive, seenPublisher(place.queue, "default")!.report],
      [true, undefined],
      text,
    );
  }
});

test("where nothing can be written it does nothing", () => {
  using place = placeFor();
  const presence = new Presence(join(place.path, "absent", "events-main.db"), "default", 0o600);
  presence.show(REPORT);
  presence.end();
});

test("each subscription has a sign of its own, also with the longest names", () => {
  using place = placeFor();
  const long = "x".repeat(100);
  const queue = join(place.path, `events-${long}.db`);
  new Presence(queue, long, 0o600).show(REPORT);
  assert.equal(seenPublisher(queue, long)!.isAlive, true);
  assert.equal(seenPublisher(queue, "default"), undefined);
});
