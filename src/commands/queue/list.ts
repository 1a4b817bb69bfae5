import { statSync } from "node:fs";
import { dirname } from "node:path";
import { ageSeconds, formatDuration, formatSize, formatTable } from "../../format.ts";
import { queueFilePath } from "../../storage/locations.ts";
import { lookAtQueue, type QueueLook, queuesIn } from "../../storage/queue_directory.ts";
import { type Call, type Output, rejectOutbox, type Verb } from "./verb.ts";

/** One queue of the directory, or why it cannot be read. */
type Row = QueueLook & {
  readonly queue: string;
  readonly fileBytes: number;
  readonly walBytes: number;
};

const HEADER = ["QUEUE", "DEPTH", "CAP", "LEASED", "DEAD", "OLDEST", "FILE", "WAL"];

/** `queue list` */
export const list: Verb = {
  summary: "all queues of the directory",
  usage: "",
  help: "A queue whose file cannot be read is listed with the reason.\n",
  options: {},
  run(call: Call): number {
    rejectOutbox(call, "list shows the queues of a directory; queue depth --file shows an outbox.");
    const { directory, values, output } = call;
    const place = dirname(queueFilePath("main", directory));
    const rows = queuesIn(place).map((queue) => look(queue, directory));
    if (values.json) output.line(JSON.stringify({ directory: place, queues: rows.map(toJson) }));
    else if (rows.length === 0) output.line(`There is no queue in ${place}.`);
    else showTable(rows, output);
    return 0;
  },
};

function showTable(rows: readonly Row[], output: Output): void {
  for (const line of formatTable(HEADER, rows.map(toCells))) output.line(line);
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
