/**
 * Counts the events of a JetStream stream by hour, action and noun, each once, in a SQLite database.
 *
 *     NATS_SERVERS=127.0.0.1:4222 STREAM=EVENTS ROLLUP_DB=rollup.db bun examples/rollup.ts
 *     sqlite3 rollup.db 'SELECT * FROM rollup'
 *
 * The counts and the position in the stream commit together, so a crash cannot separate them. After a crash a durable
 * consumer would redeliver older messages behind newer ones. So the rollup resets its consumer to its own position,
 * also when a message does not arrive in order.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";
import Database from "better-sqlite3";

const STREAM = process.env.STREAM ?? "EVENTS";
const CONSUMER = "rollup";
const BATCH = 1_000;
const HOUR_MS = 3_600_000;

const db = new Database(process.env.ROLLUP_DB ?? "rollup.db");
db.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL; -- what is acknowledged must survive a power cut
  CREATE TABLE IF NOT EXISTS rollup (
    hour TEXT NOT NULL, action TEXT NOT NULL, noun TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (hour, action, noun)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS place (stream TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT`);
const readPlace = db.prepare<[string], number>("SELECT sequence FROM place WHERE stream = ?").pluck();
const writePlace = db.prepare<[string, number]>("INSERT OR REPLACE INTO place VALUES (?, ?)");
const add = db.prepare<[string, string, string, number]>(`
  INSERT INTO rollup VALUES (?, ?, ?, ?)
  ON CONFLICT (hour, action, noun) DO UPDATE SET count = count + excluded.count`);

/** Commits the counts of messages together with the position after them. Earlier messages are counted already. */
const count = db.transaction((stream: string, messages: readonly JsMsg[]): void => {
  let place = readPlace.get(stream) ?? 0;
  const counts = new Map<string, number>();
  for (const message of messages) {
    if (message.seq <= place) continue;
    const key = JSON.stringify(keyOf(message));
    counts.set(key, (counts.get(key) ?? 0) + 1);
    place = message.seq;
  }
  for (const [key, times] of counts) add.run(...(JSON.parse(key) as Key), times);
  writePlace.run(stream, place);
});

/** Hour, action and noun. */
type Key = [string, string, string];

/** The fields of an event that are counted: plain JSON (v2j), or Thrift's by the ids of thrift/event.thrift (v2). */
interface Fields {
  readonly action?: string;
  readonly noun?: string;
  readonly client_timestamp?: number;
  readonly 2?: { readonly str: string };
  readonly 3?: { readonly str: string };
  readonly 4?: { readonly i64: number };
}

/** Other events are counted as `?`, so that they do not block the rest. */
function keyOf(message: JsMsg): Key {
  const event = parse(message.string());
  const atMs = event[4]?.i64 ?? event.client_timestamp;
  const at = isDate(atMs) ? new Date(atMs) : message.time;
  const hour = new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS).toISOString();
  return [hour, `${event[2]?.str ?? event.action ?? "?"}`, `${event[3]?.str ?? event.noun ?? "?"}`];
}

function parse(text: string): Fields {
  try {
    return Object(JSON.parse(text)) as Fields;
  } catch {
    return {};
  }
}

function isDate(atMs: unknown): atMs is number {
  return typeof atMs === "number" && !Number.isNaN(new Date(atMs).getTime());
}

const servers = (process.env.NATS_SERVERS ?? "127.0.0.1:4222").split(",");
const nc = await connect({ servers, name: CONSUMER, waitOnFirstConnect: true, maxReconnectAttempts: -1 });
const manager = await jetstreamManager(nc, { checkAPI: false });
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);

/** Can end at any moment: counts are committed, and other messages are delivered again. It does not wait for servers. */
function stop(): never {
  db.close();
  process.exit(0);
}

/** A stream that is deleted and recreated counts from 1 again, so it has its own position. */
async function nameStream(): Promise<string> {
  const { created } = await manager.streams.info(STREAM);
  return `${STREAM} ${created}`;
}

/** The durable consumer, at our position. `nats consumer info` shows its lag. */
async function putBack(place: number): Promise<Consumer> {
  await manager.consumers.delete(STREAM, CONSUMER).catch(() => {}); // there may be none
  await manager.consumers.add(STREAM, {
    durable_name: CONSUMER,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: place + 1,
    ack_policy: AckPolicy.All, // of a batch's last message: all before it are counted, too
    ack_wait: nanos(60_000),
    max_ack_pending: 10 * BATCH,
  });
  return await jetstream(nc).consumers.get(STREAM, CONSUMER);
}

/** Counts from our position on. Returns when a message is out of order. */
async function follow(stream: string): Promise<void> {
  const consumer = await putBack(readPlace.get(stream) ?? 0);
  let delivered = 0;
  for (;;) {
    const messages: JsMsg[] = [];
    for await (const message of await consumer.fetch({ max_messages: BATCH, expires: 1_000 })) {
      if (message.info.deliverySequence !== ++delivered) return; // a message before it was lost
      messages.push(message);
    }
    count.immediate(stream, messages);
    messages.at(-1)?.ack();
  }
}

console.log(`Counting ${STREAM} of ${nc.getServer()} into ${db.name}`);
for (;;) {
  try {
    await follow(await nameStream());
  } catch (error) {
    console.error(`Trying again: ${error instanceof Error ? error.message : error}`);
    await sleep(500);
  }
}
