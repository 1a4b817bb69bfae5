import { setTimeout as sleep } from "node:timers/promises";
import { integerIn } from "../../config/parsers.ts";
import { decodeBody, eventJson, formatDuration, formatSize, isoTime, oneLine } from "../../format.ts";
import { type EventRow, EventTable } from "../../storage/events.ts";
import { LeaseTable } from "../../storage/leases.ts";
import { type Call, openToRead, type Verb } from "./verb.ts";

const parseCount = integerIn({ min: 0, max: 1_000_000 });

/** How many events are read at once. */
const PAGE_EVENTS = 100;

/** How often `tail` looks for new events, in milliseconds: a look costs 10 us. */
const TAIL_EVERY_MS = 100;

/** `queue peek` */
export const peek: Verb = {
  summary: "the oldest events, decoded; none is claimed",
  usage: "[-n 10]",
  help: "  -n COUNT          how many (default: 10)\n",
  options: { number: { type: "string", short: "n", default: "10" } },
  run(call: Call): number {
    const file = openToRead(call);
    const events = new EventTable(file);
    const claimedId = new LeaseTable(file, 0).claimedId();
    let left = parseCount(String(call.values.number));
    let fromId = 1;
    while (left > 0) {
      const page = events.read({ fromId, limit: Math.min(left, PAGE_EVENTS) });
      if (page.length === 0) break;
      for (const event of page) show(event, claimedId, call);
      left -= page.length;
      fromId = page.at(-1)!.id + 1;
    }
    file.close();
    return 0;
  },
};

/** `queue tail` */
export const tail: Verb = {
  summary: "follow events as they are put, until interrupted",
  usage: "[-n 10]",
  help: `  -n COUNT          how many of the newest to begin with (default: 10)

It looks ten times a second: what is put and delivered in between is not seen.
`,
  options: { number: { type: "string", short: "n", default: "10" } },
  async run(call: Call): Promise<number> {
    const count = parseCount(String(call.values.number));
    const file = openToRead(call);
    const events = new EventTable(file);
    const leases = new LeaseTable(file, 0);
    let fromId = Math.max(1, events.counters().newestId - count + 1);
    while (!call.stop.aborted) {
      const page = events.read({ fromId, limit: PAGE_EVENTS });
      for (const event of page) show(event, leases.claimedId(), call);
      fromId = (page.at(-1)?.id ?? fromId - 1) + 1;
      if (page.length < PAGE_EVENTS)
        await sleep(TAIL_EVERY_MS, undefined, { signal: call.stop }).catch(() => {}); // interrupted: that is all
    }
    file.close();
    return 0;
  },
};

/** An event that was claimed is on its way, or was given back after a failure. */
function show({ id, putAtMs, body }: EventRow, claimedId: number, { values, output }: Call): void {
  const state = id <= claimedId ? "claimed" : "waiting";
  const age = formatDuration(Date.now() - putAtMs);
  const { json, text } = decodeBody(body);
  const fields = { id, put_at: isoTime(putAtMs), size_bytes: body.length, state };
  if (values.json) output.line(eventJson(fields, body));
  else output.line(`${id}  ${age} ago  ${formatSize(body.length)}  ${state}  ${oneLine(json ?? text)}`);
}
