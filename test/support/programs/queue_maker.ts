/**
 * `queue_maker.ts DIRECTORY OPTIONS` puts into the queue `main` of a directory, with the umask, effective user and file
 * mode of OPTIONS, such as `{"umask":63,"uid":65534,"fileMode":432}`, and prints the modes of the queue's files, or the
 * error's code and message. Umask and user are the process's: where test files share one, they would meet others'.
 */
import { statSync } from "node:fs";
import process from "node:process";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

const [directory = "", options = "{}"] = process.argv.slice(2);
const { umask, uid, fileMode } = JSON.parse(options) as { umask?: number; uid?: number; fileMode?: number };
if (umask !== undefined) process.umask(umask);
if (uid !== undefined) process.seteuid?.(uid);
try {
  using queue = new EventQueue("main", serializeJsonEvent, {
    directory,
    ...(fileMode !== undefined && { fileMode }),
  });
  queue.put({});
  const modes = ["", "-wal", "-shm"].map((suffix) =>
    (statSync(queue.file + suffix).mode & 0o777).toString(8),
  );
  console.log(modes.join(" "));
} catch (error) {
  if (!(error instanceof EventStorageError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
