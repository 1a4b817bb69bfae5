import { readdirSync, rmSync } from "node:fs";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import type { Stage } from "./stage.ts";

/** What there is before a page's first command. */
export interface Scene extends AsyncDisposable {
  /** Is told of each command before it is run. */
  readonly before?: (command: string) => void;
}

/** Sets the stage for a page: the files it names, and what its reader has by then. */
export async function prepare(page: string, stage: Stage): Promise<Scene> {
  stage.writeFiles(page);
  return (await SCENES[page]?.(stage, page)) ?? { [Symbol.asyncDispose]: async () => {} };
}

const SCENES: Readonly<Record<string, (stage: Stage, page: string) => Promise<Scene | undefined>>> = {
  "docs/operating.md": withDeadLetters,
  "docs/production.md": onTwoHosts,
};

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

/** A host is to be taken away, with two events in its queue; then there is another host. */
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
  const file = QueueFile.open(path, { role: "producer", durability: "process", busyTimeoutMs: 5_000 });
  const leases = new LeaseTable(file, 60_000);
  for (let id = 1; id <= count; id++) leases.deadLetter(leases.claim(id - 1, id)!, rejection);
  file.close();
}
