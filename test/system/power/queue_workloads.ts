import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Timings } from "../../../src/publisher/waiting.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { EpochTable } from "../../../src/storage/epochs.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { eachId, parseEventIds } from "../../../src/wire/event_ids.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import type { Left, Workload } from "./power_cuts.ts";
import type { Mark } from "./recorded_disk.ts";
import type { Recorder } from "./recorder.ts";

const EVENTS = 150;

/** Large events, 90 kB each: a file is compacted when 4 MB of it are free. */
const LARGE_EVENTS = 74;

/** A slow machine takes its time. */
const WAIT_MS = 120_000;

/** The publisher's waits. */
const QUICK: Partial<Timings> = { compactMs: 200, pollMs: 100 };

const PROGRAMS = "test/system/power/programs";

/** A service, a publisher and a collector, of which the first two lose their power. */
export const QUEUE_WORKLOADS: readonly Workload[] = [
  { name: "put, durability power", run: put, check: nothingIsLost },
  {
    name: "publish, trim, compact, durability power",
    run: (recorder) => publish(recorder, { durability: "power", retention: "off" }),
    check: nothingIsLost,
  },
  {
    name: "publish, retain, compact, durability process",
    run: (recorder) => publish(recorder, { durability: "process", retention: "300ms" }),
    check: checkQueue,
  },
  { name: "upgrade, restore a backup, durability power", run: move, check: nothingIsLost },
];

async function put(recorder: Recorder): Promise<void> {
  await recorder.run(`${PROGRAMS}/service.ts`, [queueIn(recorder), recorder.marks, "power", `${EVENTS}`]);
}

async function move(recorder: Recorder): Promise<void> {
  await recorder.run(`${PROGRAMS}/moved_queue.ts`, [queueIn(recorder), recorder.marks]);
}

/** Makes the queue's directory. */
function queueIn({ root }: Recorder): string {
  const directory = join(root, "queue");
  mkdirSync(directory);
  return directory;
}

async function publish(
  recorder: Recorder,
  { durability, retention }: { durability: string; retention: string },
): Promise<void> {
  const directory = queueIn(recorder);
  await using collector = recorder.start(`${PROGRAMS}/collector.ts`, [recorder.marks]);
  const port = await collector.line(/^\d+$/);
  const config = join(recorder.root, "..", "publisher.ini");
  const lines = [
    "[event-publisher:main]",
    `collector.hostname = 127.0.0.1:${port}`,
    "collector.scheme = http",
    "collector.version = 2j",
    `key.name = ${KEY.name}`,
    `key.secret = ${KEY_BASE64}`,
    "batch.max_age = 20ms",
    `queue.retention = ${retention}`,
    "queue.ballast = off", // it is 16 MB, and comes only where the machine is slow
    "admin.listen = off",
  ];
  writeFileSync(config, lines.join("\n"), { mode: 0o600 });
  await using publisher = recorder.start("test/support/programs/quick_publisher.ts", [
    JSON.stringify(QUICK),
    "--directory",
    directory,
    config,
  ]);
  await publisher.line(/"Publishing /); // without one, nothing syncs what is put
  const args = [directory, recorder.marks, durability, `${EVENTS}`, `${LARGE_EVENTS}`];
  await recorder.run(`${PROGRAMS}/service.ts`, args);
  // Asked of the marks: a queue that is opened here would write to the disk, and not be recorded.
  await eventually(
    "the delivery",
    () => {
      const lines = readFileSync(recorder.marks, "utf8").split("\n");
      const marks = lines.map((text) => ({ text, timeUs: 0 }));
      const { accepted, rejected } = seenEvents(marks);
      const has = new Set([...accepted, ...rejected]);
      return putNumbers(marks).every(({ n }) => has.has(n));
    },
    WAIT_MS,
  );
  publisher.signal("SIGTERM");
  await publisher.ended;
}

/** As {@link checkQueue}, where a put that has returned survives. */
function nothingIsLost(left: Left): void {
  checkQueue({
    ...left,
    lose: () => assert.fail("an event whose put had returned is lost"),
  });
}

/**
 * The file is whole; what is in it is what was put, with the ids that the collector knows; an event is lost only if it,
 * and all that came later, was never sent; and the next event gets an id that no collector has seen.
 */
function checkQueue({ root, marks, timeUs, lose }: Left): void {
  const path = join(root, "queue", "events-main.db");
  if (!existsSync(path) && existsSync(`${path}.old`)) renameSync(`${path}.old`, path); // the operator's own
  const seen = seenEvents(marks);
  if (!existsSync(path)) {
    assert.deepEqual(putNumbers(marks), [], "the file is lost");
    return;
  }
  const queue = new EventQueue<object>("main", serializeJsonEvent, { directory: join(root, "queue") });
  const file = QueueFile.open(path, { role: "publisher" });
  try {
    assert.equal(file.db.pragma("integrity_check"), "ok");
    const epochs = new EpochTable(file);
    const rows = readNumbers(file, "eventspool_event");
    const dead = readNumbers(file, "eventspool_dead_letter");
    const waiting = new EventTable(file).readWaiting({ fromId: 1, limit: 10 * EVENTS }).map(({ id }) => id);
    assert.equal(queue.depth(), waiting.length, "the depth is exact");
    const waits = waiting.map((id) => rows.get(id)!);
    const isDead = new Set(dead.values());
    for (const n of waits) assert.ok(!isDead.has(n), `event ${n} waits, and is a dead letter`);
    const has = new Set([...waits, ...isDead, ...purgedNumbers(marks), ...seen.accepted]);
    let lostFrom = Number.POSITIVE_INFINITY;
    for (const { n, ageMs } of putNumbers(marks, timeUs))
      if (!has.has(n)) {
        lostFrom = Math.min(lostFrom, n);
        lose(ageMs);
      }
    for (const n of [...has, ...seen.numbers.values()])
      assert.ok(n < lostFrom, `event ${lostFrom} is lost, and ${n} is not`);
    for (const [id, n] of [...rows, ...dead]) {
      const known = seen.numbers.get(`${epochs.uuidAt(id)}:${id}`);
      assert.ok(known === undefined || known === n, `${id} is event ${n}, and the collector has ${known}`);
    }
    queue.put({ n: 0 });
    const id = Math.max(...readNumbers(file, "eventspool_event").keys());
    assert.equal(seen.numbers.get(`${epochs.uuidAt(id)}:${id}`), undefined, `id ${id} is given again`);
  } finally {
    file.close();
    queue.close();
  }
}

/** The events whose puts had returned, with their ages. */
function putNumbers(marks: readonly Mark[], nowUs = 0): { n: number; ageMs: number }[] {
  return marks.flatMap(({ text, timeUs }) => {
    const [, first, last] = /^put (\d+)-(\d+)$/.exec(text) ?? [];
    if (first === undefined) return [];
    const ageMs = (nowUs - timeUs) / 1_000;
    return numbersFrom(Number(first), Number(last)).map((n) => ({ n, ageMs }));
  });
}

/** The dead letters that are deleted, or about to be. */
function purgedNumbers(marks: readonly Mark[]): number[] {
  return marks.flatMap(({ text }) => /^purge (\d+)$/.exec(text)?.[1] ?? []).map(Number);
}

/** What the collector has seen: which number has which name, and which numbers it has accepted and rejected. */
function seenEvents(marks: readonly Mark[]): {
  numbers: Map<string, number>;
  accepted: number[];
  rejected: number[];
} {
  const numbers = new Map<string, number>();
  const accepted: number[] = [];
  const rejected: number[] = [];
  for (const { text } of marks) {
    const [, status, header, body] = /^seen (\d+) (\S+) (.*)$/.exec(text) ?? [];
    if (header === undefined) continue;
    const { queue, ranges } = parseEventIds(header)!;
    const ids = [...eachId(ranges)];
    for (const [index, { n, isRejected }] of (JSON.parse(body!) as SeenEvent[]).entries()) {
      numbers.set(`${queue}:${ids[index]}`, n);
      if (status !== "503") (isRejected ? rejected : accepted).push(n);
    }
  }
  return { numbers, accepted, rejected };
}

interface SeenEvent {
  readonly n: number;
  readonly isRejected: boolean;
}

function readNumbers(file: QueueFile, table: string): Map<number, number> {
  const rows = file.db.prepare<[], { id: number; body: Uint8Array }>(`SELECT id, body FROM ${table}`).all();
  return new Map(
    rows.map(({ id, body }) => [id, (JSON.parse(Buffer.from(body).toString()) as { n: number }).n]),
  );
}
