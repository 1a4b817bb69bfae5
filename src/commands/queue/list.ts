import { statSync } from "node:fs";
import { dirname } from "node:path";
import { ageSeconds, formatDuration, formatSize, formatTable } from "../../format.ts";
import { queueFilePath } from "../../storage/locations.ts";
import { lookAtQueue, type QueueLook, queuesIn } from "../../storage/queue_directory.ts";
import { type Call, DIRECTORY, JSON_OUTPUT, type Output, type Verb } from "./verb.ts";

/** One queue of the directory, or why it cannot be opened. */
type Row = QueueLook & {
  readonly queue: string;
  readonly fileBytes: number;
  readonly walBytes: number;
};

const HEADER = ["QUEUE", "DEPTH", "CAP", "LEASED", "DEAD", "OLDEST", "FILE", "WAL"];

/** `eventspool list` */
export const list: Verb = {
  summary: "list the queues of a directory",
  options: { ...DIRECTORY, ...JSON_OUTPUT },
  details: "Queues that cannot be opened are listed too; stderr says why.",
  json: "one document: directory, and queues, each with queue, file_bytes, wal_bytes, depth, max_events, leased, dead_letters and oldest_event_age_seconds (null: no event), or with queue, file_bytes, wal_bytes and error.",
  fails: "a queue cannot be opened",
  examples: ["", "--directory /var/lib/eventspool --json"],
  run({ directory: given, values, output }: Call): number {
    const directory = dirname(queueFilePath("main", given));
    const rows = queuesIn(directory).map((queue) => look(queue, given));
    if (values.json) output.line(JSON.stringify({ directory, queues: rows.map(toJson) }));
    else if (rows.length === 0) output.line(`No queue in ${directory}.`);
    else showTable(rows, output);
    return rows.some(({ error }) => error !== undefined) ? 1 : 0;
  },
};

function showTable(rows: readonly Row[], output: Output): void {
  const [header, ...lines] = formatTable(HEADER, rows.map(toCells));
  output.line(header!, "bold");
  for (const [at, line] of lines.entries())
    output.line(line, rows[at]!.error === undefined ? undefined : "red");
  for (const { queue, error } of rows) if (error !== undefined) output.note(`${queue}: ${error}`);
}

function look(queue: string, directory: string | undefined): Row {
  const path = queueFilePath(queue, directory);
  return { queue, fileBytes: sizeOf(path), walBytes: sizeOf(`${path}-wal`), ...lookAtQueue(path) };
}

function toCells({ queue, state, fileBytes, walBytes }: Row): string[] {
  const counts = state
    ? [state.depth, state.maxEvents, state.leased, state.deadLetters].map(String)
    : ["-", "-", "-", "-"];
  const oldest = state?.oldestPutAtMs === undefined ? "-" : formatDuration(Date.now() - state.oldestPutAtMs);
  return [queue, ...counts, oldest, formatSize(fileBytes), formatSize(walBytes)];
}

function toJson({ queue, state, fileBytes, walBytes, error }: Row): object {
  const sizes = { queue, file_bytes: fileBytes, wal_bytes: walBytes };
  if (state === undefined) return { ...sizes, error };
  return {
    ...sizes,
    depth: state.depth,
    max_events: state.maxEvents,
    leased: state.leased,
    dead_letters: state.deadLetters,
    oldest_event_age_seconds: ageSeconds(state.oldestPutAtMs),
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
