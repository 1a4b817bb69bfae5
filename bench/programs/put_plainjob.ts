/** plainjob, a job queue on SQLite, with better-sqlite3. It sets synchronous=NORMAL itself. */
import Database from "better-sqlite3";
import { better, defineQueue } from "plainjob";
import { makeEvent, measure, ownDirectory } from "./rounds.ts";

const connection = better(new Database(`${ownDirectory()}/plainjob.db`));
const queue = defineQueue({ connection });
const event = JSON.parse(String(makeEvent())) as unknown;

await measure({
  one: () => void queue.add("event", event),
  many: (count) => void queue.addMany("event", new Array<unknown>(count).fill(event)),
});
queue.close();
