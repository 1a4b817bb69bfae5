import { dirname } from "node:path";
import { ageSeconds, countOf, formatDuration, formatSize, isoTime } from "../../format.ts";
import { freeBytesOf, isNearlyFull } from "../../storage/disk_space.ts";
import { EventTable, NEARLY_FULL, type QueueState } from "../../storage/events.ts";
import { Pause } from "../../storage/pause.ts";
import { type SeenPublisher, seenPublisher } from "../../storage/presence.ts";
import { type Call, hint, JSON_OUTPUT, openToRead, QUEUE_OR_OUTBOX, type Style, type Verb } from "./verb.ts";

/** All that the page shows. */
interface Overview {
  readonly file: string;
  readonly isOutbox: boolean;
  readonly state: QueueState;
  readonly pausedAtMs: number | undefined;
  readonly publisher: SeenPublisher | undefined;
  readonly freeBytes: number;
  readonly dbBytes: number;
  readonly walBytes: number;
}

/** `eventspool status` */
export const status: Verb = {
  summary: "show a queue and its publisher on one page",
  options: { ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details: '"check" examines more, and its exit code is for scripts.',
  json: "one document: queue, file, depth, max_events, leased, oldest_event_age_seconds (null: no event), dead_letters, paused_since (null: not paused), publisher (state: running, stopped or unknown; seen_at, pid, version, health, reasons, delivered and last_success where they are known), disk_free_bytes (null: unknown), file_bytes and wal_bytes.",
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
  const file = openToRead(call);
  const overview = {
    file: file.path,
    isOutbox: file.isOutbox,
    state: new EventTable(file).state(),
    pausedAtMs: new Pause(file).sinceMs(),
    publisher: seenPublisher(file.path),
    freeBytes: freeBytesOf(dirname(file.path)),
    ...file.sizes(),
  };
  file.close();
  return overview;
}

type Row = readonly [name: string, text: string, style?: Style | undefined];

function* rowsOf(overview: Overview, call: Call): Generator<Row> {
  const { file, state, pausedAtMs } = overview;
  yield ["queue", `${call.queue} (${file})`, "bold"];
  yield eventsRow(state);
  yield publisherRow(overview);
  for (const reason of overview.publisher?.isAlive ? (overview.publisher.reasons ?? []) : [])
    yield ["", reason, "yellow"];
  if (pausedAtMs === undefined) yield ["paused", "no"];
  else
    yield [
      "paused",
      `for ${formatDuration(Date.now() - pausedAtMs)}, resume with: ${hint(call, "resume")}`,
      "yellow",
    ];
  if (state.deadLetters === 0) yield ["dead", "no dead letters"];
  else
    yield [
      "dead",
      `${countOf(state.deadLetters, "dead letter")}, see why: ${hint(call, "dead list")}`,
      "yellow",
    ];
  yield diskRow(overview);
}

function eventsRow({ depth, maxEvents, leased, oldestPutAtMs }: QueueState): Row {
  const style = depth >= maxEvents ? "red" : depth >= NEARLY_FULL * maxEvents ? "yellow" : undefined;
  const oldest =
    oldestPutAtMs === undefined ? "" : `; the oldest is ${formatDuration(Date.now() - oldestPutAtMs)} old`;
  return ["events", `${depth} of at most ${maxEvents}, ${leased} on the way${oldest}`, style];
}

function publisherRow(overview: Overview): Row {
  const { publisher } = overview;
  const kind = stateOf(overview);
  if (kind === "unknown")
    return ["publisher", "unknown: the publisher of an outbox shows itself only while it sends"];
  if (kind === "stopped")
    return [
      "publisher",
      publisher === undefined ? "not running" : `not running, last seen ${ago(publisher.seenAtMs)}`,
      "red",
    ];
  const { pid, version, health = "", delivered = 0, lastSuccessAtMs } = publisher ?? {};
  if (pid === undefined) return ["publisher", "running: events are on the way", "green"];
  const last =
    lastSuccessAtMs === undefined ? "nothing delivered yet" : `last delivery ${ago(lastSuccessAtMs)}`;
  return [
    "publisher",
    `running (pid ${pid}, eventspool ${version}), ${health}; ${last}, ${countOf(delivered, "event")} since its start`,
    health === "ok" ? "green" : "yellow",
  ];
}

/** A publisher in a hurry may not have shown itself yet: then its leases do. */
function stateOf({ publisher, state, isOutbox }: Overview): "running" | "stopped" | "unknown" {
  if (publisher?.isAlive || state.leased > 0) return "running";
  return isOutbox ? "unknown" : "stopped";
}

function diskRow({ file, freeBytes, dbBytes, walBytes }: Overview): Row {
  const free = freeBytes === Number.POSITIVE_INFINITY ? "unknown" : formatSize(freeBytes);
  const sizes = `file ${formatSize(dbBytes)}, -wal ${formatSize(walBytes)}`;
  return ["disk", `${free} free; ${sizes}`, isNearlyFull(dirname(file)) ? "red" : undefined];
}

function toJson(overview: Overview, { queue }: Call): object {
  const { file, state, pausedAtMs, publisher, freeBytes, dbBytes, walBytes } = overview;
  return {
    queue,
    file,
    depth: state.depth,
    max_events: state.maxEvents,
    leased: state.leased,
    oldest_event_age_seconds: ageSeconds(state.oldestPutAtMs),
    dead_letters: state.deadLetters,
    paused_since: isoTime(pausedAtMs),
    publisher: {
      state: stateOf(overview),
      ...(publisher && {
        seen_at: isoTime(publisher.seenAtMs),
        pid: publisher.pid,
        version: publisher.version,
        health: publisher.health,
        reasons: publisher.reasons,
        delivered: publisher.delivered,
        last_success: isoTime(publisher.lastSuccessAtMs),
      }),
    },
    disk_free_bytes: freeBytes === Number.POSITIVE_INFINITY ? null : freeBytes,
    file_bytes: dbBytes,
    wal_bytes: walBytes,
  };
}

function ago(atMs: number): string {
  return `${formatDuration(Date.now() - atMs)} ago`;
}
