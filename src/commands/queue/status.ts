import { dirname } from "node:path";
import { ageSeconds, countOf, formatAgo, formatDuration, formatSize, isoTime } from "../../format.ts";
import { freeBytesOf, isNearlyFull } from "../../storage/disk_space.ts";
import { EventTable, NEARLY_FULL, type QueueState } from "../../storage/events.ts";
import { Pause } from "../../storage/pause.ts";
import { type SeenPublisher, seenPublisher } from "../../storage/presence.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import type { SubscriptionState } from "../../storage/subscriptions.ts";
import { type Call, hint, JSON_OUTPUT, openToRead, QUEUE_OR_OUTBOX, type Style, type Verb } from "./verb.ts";

/** All that the page shows. */
interface Overview {
  readonly file: string;
  readonly state: QueueState;
  readonly pausedAtMs: number | undefined;
  readonly readers: readonly Reader[];
  readonly freeBytes: number;
  readonly dbBytes: number;
  readonly walBytes: number;
}

/** A subscription and its publisher. */
interface Reader {
  readonly subscription: SubscriptionState;
  readonly state: "running" | "stopped" | "unknown";
  readonly seen: SeenPublisher | undefined;
}

/** `eventspool status` */
export const status: Verb = {
  summary: "show a queue and its publishers on one page",
  options: { ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details: 'For scripts use "check": it examines more, and its exit code reports problems.',
  json: "one document: queue, file, depth, max_events, leased, oldest_event_age_seconds (null: no event), dead_letters, paused_since (null: not paused), publishers (for each subscription: subscription, state (running, stopped or unknown), dead_letters, and where they are known seen_at, pid, version, health, reasons, delivered and last_success), disk_free_bytes (null: unknown), file_bytes and wal_bytes.",
  examples: ["", "--file shop.db"],
  run(call: Call): number {
    const overview = read(call);
    if (call.values.json) call.output.line(JSON.stringify(toJson(overview, call)));
    else
      for (const [name, text, style] of rowsOf(overview, call))
        call.output.line(name.padEnd(11) + text, style);
    return 0;
  },
};

function read(call: Call): Overview {
  using file = openToRead(call);
  const state = new EventTable(file).state();
  const overview = {
    file: file.path,
    state,
    pausedAtMs: new Pause(file).sinceMs(),
    readers: state.subscriptions.map((subscription) => readerOf(subscription, file)),
    freeBytes: freeBytesOf(dirname(file.path)),
    ...file.sizes(),
  };
  return overview;
}

/** Without a sign of life, such as beside an outbox, leases that have not expired are one. */
function readerOf(subscription: SubscriptionState, { path, isOutbox }: QueueFile): Reader {
  const seen = seenPublisher(path, subscription.name);
  if (seen !== undefined) return { subscription, seen, state: seen.isAlive ? "running" : "stopped" };
  if (subscription.leased > 0) return { subscription, seen, state: "running" };
  return { subscription, seen, state: isOutbox ? "unknown" : "stopped" };
}

type Row = readonly [name: string, text: string, style?: Style | undefined];

function* rowsOf(overview: Overview, call: Call): Generator<Row> {
  const { file, state, pausedAtMs, readers } = overview;
  yield ["queue", `${call.queue} (${file})`, "bold"];
  yield eventsRow(state);
  for (const reader of readers) yield* publisherRows(reader, readers.length > 1);
  if (pausedAtMs === undefined) yield ["paused", "no"];
  else {
    const since = formatDuration(Date.now() - pausedAtMs);
    yield ["paused", `for ${since}, resume with: ${hint(call, "resume")}`, "yellow"];
  }
  if (state.deadLetters === 0) yield ["dead", "no dead letters"];
  for (const { subscription } of readers) yield* deadRows(subscription, call, readers.length > 1);
  yield diskRow(overview);
}

function* deadRows({ name, deadLetters }: SubscriptionState, call: Call, isNamed: boolean): Generator<Row> {
  if (deadLetters === 0) return;
  const list = hint(call, `dead list${isNamed ? ` --subscription ${name}` : ""}`);
  yield ["dead", `${countOf(deadLetters, "dead letter")}, see why: ${list}`, "yellow"];
}

function eventsRow({ depth, maxEvents, leased, oldestPutAtMs }: QueueState): Row {
  const style = depth >= maxEvents ? "red" : depth >= NEARLY_FULL * maxEvents ? "yellow" : undefined;
  const oldest =
    oldestPutAtMs === undefined ? "" : `; the oldest is ${formatDuration(Date.now() - oldestPutAtMs)} old`;
  return ["events", `${depth} of at most ${maxEvents}, ${leased} leased${oldest}`, style];
}

function* publisherRows(reader: Reader, isNamed: boolean): Generator<Row> {
  const { subscription, state, seen } = reader;
  const [text, style] = describePublisher(reader);
  yield ["publisher", `${isNamed ? `of ${subscription.name}: ` : ""}${text}`, style];
  if (state === "running") for (const reason of seen?.report?.reasons ?? []) yield ["", reason, "yellow"];
}

function describePublisher({ state, seen }: Reader): [text: string, style?: Style] {
  if (state === "unknown") return ["unknown: the publisher of an outbox shows itself only while it sends"];
  if (state === "stopped")
    return [seen === undefined ? "not running" : `not running, last seen ${formatAgo(seen.seenAtMs)}`, "red"];
  if (seen?.report === undefined) return ["running", "green"];
  const { pid, version, health, delivered, lastSuccessAtMs } = seen.report;
  const last =
    lastSuccessAtMs === undefined ? "no delivery yet" : `last delivery ${formatAgo(lastSuccessAtMs)}`;
  return [
    `running (pid ${pid}, eventspool ${version}), ${health}; ${last}, ${countOf(delivered, "event")} since its start`,
    health === "ok" ? "green" : "yellow",
  ];
}

function diskRow({ file, freeBytes, dbBytes, walBytes }: Overview): Row {
  const free = freeBytes === Number.POSITIVE_INFINITY ? "unknown" : formatSize(freeBytes);
  const sizes = `file ${formatSize(dbBytes)}, -wal ${formatSize(walBytes)}`;
  return ["disk", `${free} free; ${sizes}`, isNearlyFull(dirname(file)) ? "red" : undefined];
}

function toJson(overview: Overview, { queue }: Call): object {
  const { file, state, pausedAtMs, readers, freeBytes, dbBytes, walBytes } = overview;
  return {
    queue,
    file,
    depth: state.depth,
    max_events: state.maxEvents,
    leased: state.leased,
    oldest_event_age_seconds: ageSeconds(state.oldestPutAtMs),
    dead_letters: state.deadLetters,
    paused_since: isoTime(pausedAtMs),
    publishers: readers.map(readerJson),
    disk_free_bytes: freeBytes === Number.POSITIVE_INFINITY ? null : freeBytes,
    file_bytes: dbBytes,
    wal_bytes: walBytes,
  };
}

function readerJson({ subscription, state, seen }: Reader): object {
  const { lastSuccessAtMs, ...report } = seen?.report ?? {};
  return {
    subscription: subscription.name,
    state,
    dead_letters: subscription.deadLetters,
    ...(seen && { seen_at: isoTime(seen.seenAtMs) }),
    ...(seen?.report && { ...report, last_success: isoTime(lastSuccessAtMs) }),
  };
}
