/** bunqueue, embedded, each job is written to its SQLite file before `add` resolves (`durable`). */
import process from "node:process";
import { Queue } from "bunqueue/client";
import { makeEvent, measure, ownDirectory } from "./rounds.ts";

const queue = new Queue("events", { embedded: true, dataPath: `${ownDirectory()}/bunqueue.db` });
const event = JSON.parse(String(makeEvent())) as object;

await measure({ grouped: () => queue.add("event", event, { durable: true }) });
process.exit();
