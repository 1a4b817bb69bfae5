import { closeSync, fsyncSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { countOf, escapeControls, jsonText, lineOf } from "../../format.ts";
import { type EventRow, EventTable } from "../../storage/events.ts";
import { type Lease, LeaseTable } from "../../storage/leases.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import { SubscriptionTable } from "../../storage/subscriptions.ts";
import { Trimmer } from "../../storage/trim.ts";
import {
  type Call,
  checkKept,
  hint,
  OF_SUBSCRIPTION,
  openTarget,
  openToWrite,
  subscriptionOf,
  UsageError,
  type Verb,
} from "./verb.ts";

const STDOUT = 1;

/** `eventspool drain` */
export const drain: Verb = {
  summary: "move all events to a file, one JSON text per line",
  options: {
    to: {
      type: "string",
      value: "FILE",
      help: "append to this file; - is stdout",
      example: "events.jsonl",
      completes: "file",
    },
    ...OF_SUBSCRIPTION,
  },
  details:
    'An event leaves the queue only when it is in the file and the file is synced: a crash in between leaves it in both. Events that a publisher has claimed stay; other subscriptions keep theirs. "put" puts the events back.',
  json: "one document, on stderr: drained, left and unreadable_id (the first event that is not JSON, or null).",
  fails: "an event is not JSON, or it was interrupted",
  examples: ["--to events.jsonl", "--to - > events.jsonl"],
  async run(call: Call): Promise<number> {
    const to = call.values.to as string | undefined;
    if (to === undefined)
      throw new UsageError(`missing option --to, for example: ${hint(call, "drain --to events.jsonl")}`);
    using file = openToWrite(call);
    const target = to === "-" ? STDOUT : openTarget(to, file);
    checkKept(target);
    const { subscription } = subscriptionOf(call);
    const claiming = new Claiming(file, subscription);
    const { drained, unreadableId } = await drainTo(target, claiming, call);
    const left = new SubscriptionTable(file).get(subscription).depth;
    const trimmer = new Trimmer(file);
    while (trimmer.onIdle(QUIET_MS)); // there may be no publisher to do it
    if (target !== STDOUT) closeSync(target);
    tellEnd(call, { drained, left, unreadableId });
    return unreadableId === undefined && !call.stop.aborted ? 0 : 1;
  },
};

interface Drained {
  readonly drained: number;
  /** The first event that is not JSON, and so cannot be a line; undefined: there is none. */
  readonly unreadableId: number | undefined;
}

async function drainTo(target: number, claiming: Claiming, call: Call): Promise<Drained> {
  const tell = progressOf(call, claiming.events.depth());
  let drained = 0;
  while (!call.stop.aborted) {
    const lease = claiming.next();
    if (lease === undefined) break;
    const events = eventsOf(claiming, lease);
    const readable = events.findIndex(({ body }) => jsonText(body) === undefined);
    if (readable === 0) {
      claiming.leases.release(lease);
      return { drained, unreadableId: events[0]!.id };
    }
    if (readable > 0) {
      claiming.leases.split(lease, events[readable]!.id - 1); // what comes before it is claimed next
      continue;
    }
    write(target, events);
    claiming.leases.ack(lease);
    drained += events.length;
    tell(drained);
  }
  return { drained, unreadableId: undefined };
}

function eventsOf({ events }: Claiming, { firstId, lastId }: Lease): EventRow[] {
  return events.read({ fromId: firstId, toId: lastId, limit: lastId - firstId + 1 });
}

function write(target: number, events: readonly EventRow[]): void {
  const isTerminal = target === STDOUT && isatty(STDOUT);
  const toLine = (body: Uint8Array): Uint8Array =>
    isTerminal ? Buffer.from(escapeControls(jsonText(lineOf(body)) ?? "")) : lineOf(body); // the same JSON
  const lines = Buffer.concat(events.flatMap(({ body }) => [toLine(body), LINE_FEED]));
  for (let written = 0; written < lines.length; ) written += writeSync(target, lines, written);
  if (target !== STDOUT) fsyncSync(target);
}

const LINE_FEED = Buffer.from("\n");

function tellEnd({ values, output }: Call, end: Drained & { readonly left: number }): void {
  const { drained, left, unreadableId } = end;
  if (values.json) output.note(JSON.stringify({ drained, left, unreadable_id: unreadableId ?? null }));
  else output.note(`${countOf(drained, "event")} drained, ${left} left.`);
  if (unreadableId !== undefined)
    output.note(
      `Event ${unreadableId} is not JSON and cannot be a line: it and all newer events stay in the queue.`,
    );
  else if (left > 0) output.note("The events that are left were claimed by a publisher, or put meanwhile.");
}

/** A queue that nothing was claimed from for so long is trimmed completely, in milliseconds. */
const QUIET_MS = 1_000;

/** How long a claim holds if we are killed, in milliseconds. */
const LEASE_MS = 60_000;

/** How many events are claimed at once, and how many bytes of them. */
const CLAIM_EVENTS = 1_000;
const CLAIM_BYTES = 4_194_304;

/** How often progress is printed, in milliseconds. */
const PROGRESS_EVERY_MS = 1_000;

/** Claims all events of a subscription that no publisher has claimed, batch by batch. */
export class Claiming {
  readonly leases: LeaseTable;
  readonly events: EventTable;

  /** @throws {EventStorageError} the subscription does not exist */
  constructor(file: QueueFile, subscription: string) {
    this.leases = new LeaseTable(file, LEASE_MS, { subscription });
    this.events = new EventTable(file);
  }

  /** The next batch; undefined: there is none. */
  next(): Lease | undefined {
    return this.leases.claimNext({ maxEvents: CLAIM_EVENTS, maxBytes: CLAIM_BYTES });
  }
}

/** Prints progress to stderr, about once a second. */
export function progressOf({ output }: Pick<Call, "output">, total: number): (done: number) => void {
  let printedAtMs = performance.now();
  return (done) => {
    const nowMs = performance.now();
    if (nowMs - printedAtMs < PROGRESS_EVERY_MS) return;
    printedAtMs = nowMs;
    output.note(`${done} of ${total} ...`);
  };
}
