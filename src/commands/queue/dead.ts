import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { integerIn, parseAge } from "../../config/parsers.ts";
import {
  countOf,
  decodeBody,
  eventJson,
  formatAgo,
  formatSize,
  formatTable,
  isoTime,
  oneLine,
} from "../../format.ts";
import {
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterSummary,
  DeadLetterTable,
  groupByReason,
} from "../../storage/dead_letters.ts";
import { EventTable } from "../../storage/events.ts";
import {
  type Call,
  confirmed,
  hint,
  OF_SUBSCRIPTION,
  type Options,
  openTarget,
  openToRead,
  openToWrite,
  QUEUE_OR_OUTBOX,
  readOption,
  SUBSCRIPTION,
  subscriptionOf,
  UsageError,
  type Verb,
  YES,
} from "./verb.ts";

/** How many dead letters are retried or purged at once: a transaction of a few milliseconds. */
const CHUNK = 100;

const RESPONSE_CHARS = 60;

/** How often `--follow` looks, in milliseconds: a look costs 10 us where nothing has changed. */
const FOLLOW_EVERY_MS = 250;

const parseStatus = integerIn({ min: 0, max: 999 });
const parseLimit = integerIn({ min: 1, max: 1_000_000 });

/** Which dead letters are meant. */
const FILTERS: Options = {
  status: { type: "string", value: "CODE", help: "only those with this HTTP status", example: "422" },
  reason: {
    type: "string",
    value: "TEXT",
    help: "only those with this text in their response (any case)",
    example: "noun",
  },
  "older-than": {
    type: "string",
    value: "TIME",
    help: "only those rejected longer ago than this, such as 36h",
    example: "36h",
  },
};

const LETTER_JSON =
  "one document per dead letter, each on a line: id, put_at, dead_at, attempts, status, response and size_bytes";

const EVENT_JSON = `${LETTER_JSON}, and event, as it was put, or event_base64 if it is not JSON.`;

/** `eventspool dead list` */
export const deadList: Verb = {
  summary: "show the dead letters by reason, or each with --all",
  options: {
    all: { type: "boolean", help: "show each dead letter, the oldest event first" },
    ...FILTERS,
    limit: {
      type: "string",
      value: "COUNT",
      help: "show the largest COUNT groups; with --all or --follow the newest COUNT dead letters",
      example: "20",
    },
    follow: { type: "boolean", short: "f", help: "show new dead letters until interrupted" },
    ...OF_SUBSCRIPTION,
  },
  details:
    "Dead letters are events that the destination rejected one by one. Those with the same status and response share a line. Numbers and ids in the response may differ: they are shown as #.",
  json: `${LETTER_JSON}.`,
  examples: ["", "--all --status 422 --limit 20", "--follow --json"],
  async run(call: Call): Promise<number> {
    const { values } = call;
    const limit = readOption(call, "limit", parseLimit);
    using file = openToRead(call);
    const table = new DeadLetterTable(file, subscriptionOf(call));
    if (values.follow) await follow(table, call, limit);
    else if (values.all || values.json) showEach([...chosenBy(table, call)].slice(-(limit ?? 0)), call);
    else showGroups(groupByReason(chosenBy(table, call)).slice(0, limit), call);
    return 0;
  },
};

/** `eventspool dead show` */
export const deadShow: Verb = {
  summary: "show dead letters, with response and event",
  args: "ID...",
  options: OF_SUBSCRIPTION,
  json: EVENT_JSON,
  fails: "a dead letter does not exist",
  examples: ["3", "3 4 --json"],
  run(call: Call): number {
    using file = openToRead(call);
    const table = new DeadLetterTable(file, subscriptionOf(call));
    for (const [nth, id] of idsIn(call).entries()) {
      const letter = table.get(id);
      if (letter === undefined)
        throw new Error(`dead letter ${id} does not exist. All there are: ${hint(call, "dead list --all")}`);
      if (call.values.json) call.output.line(eventJson(toJson(letter), letter.body));
      else for (const line of [...(nth > 0 ? [""] : []), ...describe(letter)]) call.output.line(line);
    }
    return 0;
  },
};

/** `eventspool dead retry` */
export const deadRetry: Verb = {
  summary: "put dead letters back into the queue",
  args: "[ID...]",
  options: {
    all: { type: "boolean", help: "all dead letters" },
    ...FILTERS,
    ...OF_SUBSCRIPTION,
  },
  details: "They become new events with new ids, behind all waiting events.",
  json: "one document: retried.",
  fails: "not all could be put back",
  examples: ["3 4", "--all", "--status 422"],
  run(call: Call): number {
    using file = openToWrite(call);
    const table = new DeadLetterTable(file, subscriptionOf(call));
    const events = new EventTable(file);
    const ids = chosen(table, call);
    let retried = 0;
    for (const chunk of chunksOf(ids)) {
      retried += table.retry(chunk, events);
      if (events.isFull()) break;
    }
    const isFull = events.isFull();
    const { values, output } = call;
    if (values.json) output.line(JSON.stringify({ retried }));
    else output.line(`Put ${retried} of ${countOf(ids.length, "dead letter")} back into the queue.`);
    if (retried < ids.length)
      output.note(isFull ? "The queue is full: retry the others later." : "The others do not exist.");
    return retried < ids.length ? 1 : 0;
  },
};

/** `eventspool dead purge` */
export const deadPurge: Verb = {
  summary: "delete dead letters; it asks first",
  args: "[ID...]",
  options: {
    all: { type: "boolean", help: "all dead letters" },
    ...FILTERS,
    ...YES,
    ...OF_SUBSCRIPTION,
  },
  json: "one document: purged.",
  fails: "not all were deleted",
  examples: ["3", "--older-than 36h", "--all --yes"],
  async run(call: Call): Promise<number> {
    using file = openToWrite(call);
    const table = new DeadLetterTable(file, subscriptionOf(call));
    const ids = chosen(table, call);
    const question = `Delete ${countOf(ids.length, "dead letter")}? They cannot be restored.`;
    const isSure = ids.length === 0 || (await confirmed(call, question));
    const purged = isSure ? chunksOf(ids).reduce((sum, chunk) => sum + table.purge(chunk), 0) : 0;
    const { values, output } = call;
    if (values.json) output.line(JSON.stringify({ purged }));
    else output.line(`Purged ${purged} of ${countOf(ids.length, "dead letter")}.`);
    return purged < ids.length ? 1 : 0;
  },
};

/** `eventspool dead export` */
export const deadExport: Verb = {
  summary: "write dead letters as JSON lines",
  options: {
    to: {
      type: "string",
      value: "FILE",
      help: "append to a file instead of stdout",
      example: "dead.jsonl",
      completes: "file",
    },
    ...FILTERS,
    ...SUBSCRIPTION,
    ...QUEUE_OR_OUTBOX,
  },
  details: `It prints ${EVENT_JSON}`,
  examples: ["--to dead.jsonl", "--status 422"],
  run(call: Call): number {
    const { values, output } = call;
    using file = openToRead(call);
    const table = new DeadLetterTable(file, subscriptionOf(call));
    const to = values.to as string | undefined;
    const target = to === undefined ? undefined : openTarget(to, file);
    let exported = 0;
    for (const { id } of chosenBy(table, call)) {
      const letter = table.get(id);
      if (letter === undefined) continue; // retried or purged meanwhile
      const line = eventJson(toJson(letter), letter.body);
      if (target === undefined) output.line(line);
      else appendFileSync(target, `${line}\n`);
      exported++;
    }
    output.note(`Exported ${countOf(exported, "dead letter")}.`);
    return 0;
  },
};

function showGroups(groups: readonly DeadLetterGroup[], { output }: Call): void {
  const rows = groups.map(({ count, status, response, firstDeadAtMs, newest }) => [
    String(count),
    String(status),
    formatAgo(firstDeadAtMs),
    formatAgo(newest.deadAtMs),
    String(newest.id),
    oneLine(response, RESPONSE_CHARS),
  ]);
  showTable(["COUNT", "STATUS", "FIRST", "LAST", "LAST ID", "RESPONSE"], rows, output);
}

const HEADER = ["ID", "REJECTED", "STATUS", "ATTEMPTS", "SIZE", "RESPONSE"];

function showEach(letters: readonly DeadLetterSummary[], { values, output }: Call): void {
  if (values.json) for (const letter of letters) output.line(JSON.stringify(toJson(letter)));
  else showTable(HEADER, letters.map(toCells), output);
}

function showTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  output: Call["output"],
): void {
  if (rows.length === 0) {
    output.line("No dead letters.");
    return;
  }
  const [first, ...lines] = formatTable(header, rows);
  output.line(first!, "bold");
  for (const line of lines) output.line(line);
}

/** Shows the newest dead letters, and then each that comes. */
async function follow(table: DeadLetterTable, call: Call, limit: number = 10): Promise<void> {
  const { values, output, stop } = call;
  const seen = new Set<number>();
  let known: string | undefined;
  while (!stop.aborted) {
    const totals = JSON.stringify(table.totals());
    if (totals !== known) {
      const fresh = unseen(table, call, seen);
      for (const letter of known === undefined ? fresh.slice(-limit) : fresh)
        output.line(values.json ? JSON.stringify(toJson(letter)) : toCells(letter).join("  "));
      known = totals;
    }
    await sleep(FOLLOW_EVERY_MS, undefined, { signal: stop }).catch(() => {}); // interrupted
  }
}

/** Those that are not in `seen`, which they join, by the time of rejection: their ids come in any order. */
function unseen(table: DeadLetterTable, call: Call, seen: Set<number>): DeadLetterSummary[] {
  const fresh = [...chosenBy(table, call)].filter(({ id }) => !seen.has(id));
  for (const { id } of fresh) seen.add(id);
  return fresh.sort((a, b) => a.deadAtMs - b.deadAtMs || a.id - b.id);
}

/** The ids of the dead letters that are meant: those named, or all that the filters leave. */
function chosen(table: DeadLetterTable, call: Call): number[] {
  const isFiltered = ["all", ...Object.keys(FILTERS)].some((name) => call.values[name] !== undefined);
  if (isFiltered && call.args.length > 0) throw new UsageError("pass ids, or --all and filters, not both.");
  return isFiltered ? Array.from(chosenBy(table, call), ({ id }) => id) : idsIn(call);
}

function idsIn({ args }: Call): number[] {
  if (args.length === 0) throw new UsageError("no dead letter named: pass its ID, such as 3.");
  return args.map((text) => {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new UsageError(`expected the ID of a dead letter, such as 3, got ${JSON.stringify(text)}.`);
  });
}

/** All that the filters leave, by the ids of the events. */
function* chosenBy(table: DeadLetterTable, call: Call): Generator<DeadLetterSummary> {
  const ageMs = readOption(call, "older-than", parseAge);
  const deadUntilMs = ageMs === undefined ? undefined : Date.now() - ageMs;
  const wantedStatus = readOption(call, "status", parseStatus);
  const wantedText = String(call.values.reason ?? "").toLowerCase();
  for (const page of table.pages(deadUntilMs))
    for (const letter of page)
      if (
        (wantedStatus === undefined || letter.status === wantedStatus) &&
        letter.response.toLowerCase().includes(wantedText)
      )
        yield letter;
}

function chunksOf(ids: readonly number[]): number[][] {
  const chunks = Math.ceil(ids.length / CHUNK);
  return Array.from({ length: chunks }, (_, index) => ids.slice(index * CHUNK, (index + 1) * CHUNK));
}

function toCells({ id, deadAtMs, status, attempts, sizeBytes, response }: DeadLetterSummary): string[] {
  const figures = [String(id), formatAgo(deadAtMs), String(status), String(attempts), formatSize(sizeBytes)];
  return [...figures, oneLine(response, RESPONSE_CHARS)];
}

function toJson({ id, putAtMs, deadAtMs, attempts, status, response, sizeBytes }: DeadLetterSummary): object {
  return {
    id,
    put_at: isoTime(putAtMs),
    dead_at: isoTime(deadAtMs),
    attempts,
    status,
    response,
    size_bytes: sizeBytes,
  };
}

function describe(letter: DeadLetter): string[] {
  const { json, text } = decodeBody(letter.body);
  return [
    `id        ${letter.id}`,
    `put       ${isoTime(letter.putAtMs)}`,
    `rejected  ${isoTime(letter.deadAtMs)}`,
    `attempts  ${letter.attempts}`,
    `status    ${letter.status}`,
    `response  ${oneLine(letter.response)}`,
    `size      ${formatSize(letter.sizeBytes)}`,
    `event     ${oneLine(json ?? text)}`,
  ];
}
