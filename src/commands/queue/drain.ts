import { closeSync, fsyncSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { ConfigurationError } from "../../errors.ts";
import { countOf, escapeControls, jsonText, lineOf } from "../../format.ts";
import { type EventRow, EventTable } from "../../storage/events.ts";
import { type Lease, LeaseTable } from "../../storage/leases.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import { type Call, openTarget, openToWrite, type Verb } from "./verb.ts";

const STDOUT = 1;

/** `queue drain` */
export const drain: Verb = {
  summary: "move all events to a file, one JSON text a line",
  usage: "--to FILE",
  help: `  --to FILE         append to this file; - is stdout

An event leaves the queue only when it is in the file and the file is synced: a
crash in between leaves it in both. What a publisher holds is left to it.
"queue put < FILE" puts the events back.
`,
  options: { to: { type: "string" } },
  async run(call: Call): Promise<number> {
    const to = call.values.to as string | undefined;
    if (to === undefined) throw new ConfigurationError("where to? Say --to FILE, or --to - for stdout.");
    const target = to === "-" ? STDOUT : openTarget(to);
    const file = openToWrite(call);
    const claiming = new Claiming(file);
    const { drained, unreadableId } = await drainTo(target, claiming, call);
    const left = claiming.events.depth();
    file.close();
    if (target !== STDOUT) closeSync(target);
    tellEnd(call, { drained, left, unreadableId });
    return unreadableId === undefined && !call.stop.aborted ? 0 : 1;
  },
};

interface Drained {
  readonly drained: number;
  /** The first event that is not JSON, and so fits on no line; undefined: there is none. */
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
      claiming.leases.split(lease, events[readable]!.id - 1); // what lies before it is claimed next
      continue;
    }
    write(target, events);
    await claiming.leases.ack(lease);
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
      `Event ${unreadableId} is not JSON and fits on no line: it and those behind it stay in the queue.`,
    );
  else if (left > 0) output.note("A publisher holds those that are left, or they were put meanwhile.");
}

/** How long a claim holds if we are killed, in milliseconds. */
const LEASE_MS = 60_000;

/** How many events are claimed at once, and how many bytes of them. */
const CLAIM_EVENTS = 1_000;
const CLAIM_BYTES = 4_194_304;

/** How often progress is told, in milliseconds. */
const PROGRESS_EVERY_MS = 1_000;

/** Claims all events that nobody holds, batch by batch. */
export class Claiming {
  readonly leases: LeaseTable;
  readonly events: EventTable;

  constructor(file: QueueFile) {
    this.leases = new LeaseTable(file, LEASE_MS);
    this.events = new EventTable(file);
  }

  /** The next batch; undefined: there is nothing that nobody holds. */
  next(): Lease | undefined {
    const given = this.leases.claimExpired();
    if (given !== undefined) return given;
    for (;;) {
      const claimedId = this.leases.claimedId();
      const firstId = this.leases.firstIdAfter(claimedId);
      if (firstId === undefined) return undefined;
      const lease = this.leases.claim(claimedId, firstId + this.#countFrom(firstId) - 1);
      if (lease !== undefined) return lease; // else a publisher was faster: look again
    }
  }

  #countFrom(firstId: number): number {
    let count = 0;
    let bytes = 0;
    for (const eventBytes of this.leases.sizesAfter(firstId - 1)) {
      bytes += eventBytes;
      if (count > 0 && (count === CLAIM_EVENTS || bytes > CLAIM_BYTES)) break;
      count++;
    }
    return count;
  }
}

/** Tells on stderr how far it is, about once a second. */
export function progressOf({ output }: Pick<Call, "output">, total: number): (done: number) => void {
  let toldAtMs = performance.now();
  return (done) => {
    const nowMs = performance.now();
    if (nowMs - toldAtMs < PROGRESS_EVERY_MS) return;
    toldAtMs = nowMs;
    output.note(`${done} of ${total} ...`);
  };
}
