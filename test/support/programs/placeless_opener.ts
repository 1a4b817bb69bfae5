/** Tries to open queues in places that cannot be resolved, and prints what is thrown, one JSON a line. */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import { EventError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";

function attempt(work: () => unknown): void {
  try {
    work();
    process.stdout.write("{}\n");
  } catch (error) {
    const { name, message } = error as Error;
    process.stdout.write(`${JSON.stringify({ isOurs: error instanceof EventError, name, message })}\n`);
  }
}

const serialize = () => new Uint8Array();
attempt(() => new EventQueue("main", serialize));

const gone = mkdtempSync(join(tmpdir(), "eventspool-gone-"));
process.chdir(gone);
rmdirSync(gone);
attempt(() => new EventQueue("main", serialize, { directory: "spool" }));
attempt(() => loadPublisherConfig("publisher.ini"));
