/** A service that stops the publisher in its process, and ends then: `embedded_publisher.ts DIRECTORY GRACE`. */
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { newPublisher } from "../publisher.ts";

const [directory = "", grace = ""] = process.argv.slice(2);
await using publisher = newPublisher("http://127.0.0.1:9", directory, { "publisher.grace": grace });
const stop = new AbortController();
const running = publisher.run({ signal: stop.signal });
await setImmediate();
stop.abort();
await running;
