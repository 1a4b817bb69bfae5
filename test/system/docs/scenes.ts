import { readdirSync, rmSync } from "node:fs";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import type { Stage } from "./stage.ts";

/** The state before a page's first command. */
export interface Scene extends AsyncDisposable {
  /** Called with each command before it runs. */
  readonly before?: (command: string) => void;
}

/** Prepares the stage for a page: the files it names, and what its reader already has. */
export async function prepare(page: string, stage: Stage): Promise<Scene> {
  stage.writeFiles(page);
  return (await SCENES[page]?.(stage, page)) ?? { [Symbol.asyncDispose]: async () => {} };
}

const SCENES: Readonly<Record<string, (stage: Stage, page: string) => Promise<Scene | undefined>>> = {
  "docs/collector.md": withCollector,
  "docs/operating.md": withDeadLetters,
  "docs/production.md": onTwoHosts,
  "docs/subscriptions.md": withEvents,
};

/** A queue with two events. */
async function withEvents(stage: Stage): Promise<undefined> {
  put(stage, "main", [
    { action: "view", noun: "page", at: 1795530000000 },
    { action: "vote", noun: "comment", at: 1795530000123 },
  ]);
}

/** A collector with the key of the page. */
async function withCollector(stage: Stage): Promise<undefined> {
  const key = Buffer.from("secret key").toString("base64");
  const lines = ["[event-collector]", "listen = 127.0.0.1:9800", "admin.listen = 127.0.0.1:9801"];
  stage.write("collector.ini", [...lines, `key.main = ${key}`, ""].join("\n"));
  await stage.run("bun run collector collector.ini");
}

/** Two queues; two of main's events were rejected. */
async function withDeadLetters(stage: Stage): Promise<undefined> {
  put(stage, "audit", []);
  put(stage, "main", [
    { action: "view", noun: null },
    { action: "vote", noun: 1 },
  ]);
  insertDeadLetters(stage, 2, { status: 422, response: '{"error":"noun: expected a word"}' });
  put(stage, "main", [
    { action: "view", noun: "page", at: 1795530000000 },
    { action: "vote", noun: "comment", at: 1795530000123 },
  ]);
}

/** A host that is removed with two events in its queue, and then another host. */
async function onTwoHosts(stage: Stage): Promise<Scene> {
  await stage.run(`export EVENTSPOOL_DIR=${stage.queues}`);
  put(stage, "main", [{ n: -1 }, { n: 0 }]);
  return {
    before: (command) => {
      if (command.includes("run collector")) empty(stage);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The queue of another host. */
function empty(stage: Stage): void {
  for (const name of readdirSync(stage.queues)) rmSync(`${stage.queues}/${name}`);
  put(stage, "main", []);
}

function put(stage: Stage, name: string, events: readonly object[]): void {
  using queue = new EventQueue(name, serializeJsonEvent, { directory: stage.queues });
  queue.putMany(events);
}

/** Makes dead letters of the first events of main. */
function insertDeadLetters(
  stage: Stage,
  count: number,
  rejection: { status: number; response: string },
): void {
  const path = `${stage.queues}/events-main.db`;
  const file = QueueFile.open(path, { busyTimeoutMs: 5_000 });
  const leases = new LeaseTable(file, 60_000);
  for (let id = 1; id <= count; id++) deadLetter(leases, leases.claim(id - 1, id)!, rejection);
  file.close();
}
