/** Writes to a destination and to sinks under a umask, which is the whole process's: `umask_files.ts DIRECTORY UMASK`. */
import { join } from "node:path";
import process from "node:process";
import { JsonlSink } from "../../../src/collector/sinks/jsonl.ts";
import { FileDestination } from "../../../src/publisher/destinations/file.ts";
import { numberedBatch } from "../batches.ts";

const [directory = "", umask = "0"] = process.argv.slice(2);
process.umask(Number(umask));

const body = Buffer.from("{}");
const destination = new FileDestination(join(directory, "destination.jsonl"));
const ids = { queue: "main", queueUuid: "u", firstId: 1, lastId: 1, count: 1 };
const batch = await destination.prepare({
  ...ids,
  joined: body,
  events: () => [{ id: 1, putAtMs: 0, body }],
});
await batch.send(new AbortController().signal);
await destination.close();

for (const fileMode of [undefined, 0o640]) {
  const path = join(directory, `events-${(fileMode ?? 0o600).toString(8)}.jsonl`);
  const sink = new JsonlSink(path, { rotateSizeBytes: 3, ...(fileMode !== undefined && { fileMode }) });
  for (const id of [1, 2, 3]) await sink.store(numberedBatch(id, id));
  await sink.close();
}
