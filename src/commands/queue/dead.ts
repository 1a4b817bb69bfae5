import { appendFileSync } from "node:fs";
import { durationMsIn } from "../../config/parsers.ts";
import { ConfigurationError } from "../../errors.ts";
import {
  countOf,
  decodeBody,
  eventJson,
  formatDuration,
  formatSize,
  formatTable,
  isoTime,
  oneLine,
} from "../../format.ts";
import { type DeadLetter, type DeadLetterSummary, DeadLetterTable } from "../../storage/dead_letters.ts";
import { EventTable } from "../../storage/events.ts";
import { type Call, openTarget, openToRead, openToWrite, type Verb } from "./verb.ts";

/** How many dead letters are retried or purged at once: a transaction of a few milliseconds. */
const CHUNK = 100;

const RESPONSE_CHARS = 60;

const parseAge = durationMsIn({ min: 0, max: 3_153_600_000_000 });

const ACTIONS = { list, show, retry, purge, export: exportAll };

/** `queue dead` */
export const dead: Verb = {
  summary: "the events that the collector rejected by themselves",
  usage: "list | show ID | retry ID... | retry --all | purge ID... | purge --all | export [--to FILE]",
  help: `  list              all dead letters, the oldest first
  show ID           one of them, with the collector's response and the event
  retry             put them back into the queue, behind the events that wait
  purge             delete them for good; asks, unless --yes
  export            write them as JSON lines

  --all             all of them
  --older-than TIME only those that died so long ago, such as 36h
  --to FILE         append to a file instead of stdout
  --yes             do not ask
`,
  options: {
    all: { type: "boolean" },
    "older-than": { type: "string" },
    to: { type: "string" },
    yes: { type: "boolean" },
  },
  run(call: Call): Promise<number> | number {
    const [action = "list"] = call.args;
    return ACTIONS[action as keyof typeof ACTIONS]({ ...call, args: call.args.slice(1) });
  },
};

/** The words that may follow `queue dead`. */
export const DEAD_ACTIONS: readonly string[] = Object.keys(ACTIONS);

function list(call: Call): number {
  const file = openToRead(call);
  const rows: string[][] = [];
  for (const letter of allOf(new DeadLetterTable(file), call)) {
    if (call.values.json) call.output.line(JSON.stringify(toJson(letter)));
    else rows.push(toCells(letter));
  }
  file.close();
  if (!call.values.json) for (const line of tableOf(rows)) call.output.line(line);
  return 0;
}

function show(call: Call): number {
  const file = openToRead(call);
  const table = new DeadLetterTable(file);
  for (const id of idsIn(call)) {
    const letter = table.get(id);
    if (letter === undefined) throw new Error(`there is no dead letter ${id}: queue dead list shows them.`);
    if (call.values.json) call.output.line(eventJson(toJson(letter), letter.body));
    else for (const line of describe(letter)) call.output.line(line);
  }
  file.close();
  return 0;
}

function retry(call: Call): number {
  const file = openToWrite(call);
  const table = new DeadLetterTable(file);
  const events = new EventTable(file);
  const ids = chosen(table, call);
  let retried = 0;
  for (const chunk of chunksOf(ids)) {
    const done = table.retry(chunk, events);
    retried += done;
    if (events.isFull()) break;
  }
  const isFull = events.isFull();
  file.close();
  call.output.line(
    call.values.json ? JSON.stringify({ retried }) : `${retried} of ${ids.length} are in the queue again.`,
  );
  if (retried < ids.length)
    call.output.note(isFull ? "The queue is full: try the others later." : "The others are not there.");
  return retried < ids.length ? 1 : 0;
}

async function purge(call: Call): Promise<number> {
  const file = openToWrite(call);
  const table = new DeadLetterTable(file);
  const ids = chosen(table, call);
  const isSure = await confirmed(call, `Delete ${countOf(ids.length, "dead letter")} for good?`);
  const purged = isSure ? chunksOf(ids).reduce((sum, chunk) => sum + table.purge(chunk), 0) : 0;
  file.close();
  call.output.line(call.values.json ? JSON.stringify({ purged }) : `${purged} of ${ids.length} are deleted.`);
  return purged < ids.length ? 1 : 0;
}

function exportAll(call: Call): number {
  const { values, output } = call;
  const file = openToRead(call);
  const table = new DeadLetterTable(file);
  const to = values.to as string | undefined;
  const target = to === undefined ? undefined : openTarget(to);
  let exported = 0;
  for (const { id } of allOf(table, call)) {
    const letter = table.get(id);
    if (letter === undefined) continue; // retried or purged meanwhile
    const line = eventJson(toJson(letter), letter.body);
    if (target === undefined) output.line(line);
    else appendFileSync(target, `${line}\n`);
    exported++;
  }
  file.close();
  output.note(`${countOf(exported, "dead letter")} exported.`);
  return 0;
}

/** Asks before something is deleted for good. Without a terminal, only `--yes` will do. */
export async function confirmed({ values, output }: Call, question: string): Promise<boolean> {
  if (values.yes) return true;
  const answer = await output.confirm(question);
  if (answer === undefined) throw new ConfigurationError("there is no terminal to ask on: say --yes.");
  return answer;
}

/** The dead letters that are meant: the ids, or all. */
function chosen(table: DeadLetterTable, call: Call): number[] {
  if (call.values.all) return Array.from(allOf(table, call), ({ id }) => id);
  return idsIn(call);
}

function idsIn({ args }: Call): number[] {
  if (args.length === 0) throw new ConfigurationError("no dead letter named: give its ID, or --all.");
  return args.map((text) => {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new ConfigurationError(
      `${JSON.stringify(text)} is no ID of a dead letter: queue dead list shows them.`,
    );
  });
}

function* allOf(table: DeadLetterTable, { values }: Call): Generator<DeadLetterSummary> {
  const olderThan = values["older-than"] as string | undefined;
  const deadUntilMs = olderThan === undefined ? undefined : Date.now() - parseAge(olderThan);
  for (const page of table.pages(deadUntilMs)) yield* page;
}

function chunksOf(ids: readonly number[]): number[][] {
  const chunks = Math.ceil(ids.length / CHUNK);
  return Array.from({ length: chunks }, (_, index) => ids.slice(index * CHUNK, (index + 1) * CHUNK));
}

function tableOf(rows: readonly string[][]): string[] {
  if (rows.length === 0) return ["There is no dead letter."];
  return formatTable(["ID", "DIED", "STATUS", "ATTEMPTS", "SIZE", "RESPONSE"], rows);
}

function toCells(letter: DeadLetterSummary): string[] {
  const { id, deadAtMs, status, attempts, sizeBytes, response } = letter;
  return [
    String(id),
    `${formatDuration(Date.now() - deadAtMs)} ago`,
    String(status),
    String(attempts),
    formatSize(sizeBytes),
    oneLine(response, RESPONSE_CHARS),
  ];
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
    `died      ${isoTime(letter.deadAtMs)}`,
    `attempts  ${letter.attempts}`,
    `status    ${letter.status}`,
    `response  ${oneLine(letter.response)}`,
    `size      ${formatSize(letter.sizeBytes)}`,
    `event     ${oneLine(json ?? text)}`,
  ];
}
