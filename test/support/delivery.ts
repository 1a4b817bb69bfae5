import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PUBLISHER, writeIni } from "./config.ts";
import { eventually } from "./eventually.ts";
import { KEY, KEY_BASE64 } from "./keys.ts";
import type { Program } from "./processes.ts";
import { addressOf, stop } from "./spool.ts";

/** How the programs of a delivery are started, however they were installed. */
export interface Programs {
  collector(configFile: string): Program;
  publisher(configFile: string, collectorHost: string): Program;
  /** Puts {@link EVENT_COUNT} events into queue `main`, and ends. */
  producer(): Program;
}

/** How many events a delivery is of: `{"n":1}`, `{"n":2}` and so on. */
export const EVENT_COUNT = 100;

/** A service's program that puts the events of a delivery, for any runtime with eventspool installed. */
export const PRODUCER: string = `import { EventQueue, serializeJsonEvent } from "eventspool";

const events = new EventQueue("main", serializeJsonEvent);
for (let n = 1; n <= ${EVENT_COUNT}; n++) events.put({ n });
events.close();
`;

/**
 * Lets a producer, a publisher and a collector do their work, with their files in `directory` and the queue in
 * its `queue/`, and asserts that every event arrives once and that all three end well.
 */
export async function assertDelivers(directory: string, programs: Programs): Promise<void> {
  const collected = join(directory, "collected.jsonl");
  mkdirSync(queueDirectory(directory), { recursive: true });
  await using collector = programs.collector(
    writeIni(join(directory, "collector.ini"), "event-collector", {
      listen: "127.0.0.1:0",
      output: collected,
      [`key.${KEY.name}`]: KEY_BASE64,
    }),
  );
  const { host } = await addressOf(collector);
  await using producer = programs.producer();
  assert.equal(await producer.ended, 0, producer.stderr.join("\n"));

  const settings = { ...PUBLISHER, "admin.listen": "127.0.0.1:0", "collector.hostname": host };
  const file = writeIni(join(directory, "publisher.ini"), "event-publisher:main", settings);
  await using publisher = programs.publisher(file, host);
  await Promise.race([
    eventually("every event", () => linesOf(collected).length >= EVENT_COUNT),
    publisher.ended.then((code) => assert.fail(`it ended with ${code}: ${publisher.stderr.join("\n")}`)),
  ]);
  assert.deepEqual([await stop(publisher), await stop(collector)], [0, 0]);
  assert.deepEqual(
    linesOf(collected).toSorted(),
    Array.from({ length: EVENT_COUNT }, (_, index) => JSON.stringify({ n: index + 1 })).toSorted(),
  );
}

/** Where the queue of a delivery is. */
export function queueDirectory(directory: string): string {
  return join(directory, "queue");
}

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}
