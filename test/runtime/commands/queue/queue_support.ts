import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { text } from "node:stream/consumers";
import { LeaseTable } from "../../../../src/storage/leases.ts";
import { QueueFile } from "../../../../src/storage/queue_file.ts";
import { deadLetter } from "../../../support/dead_letters.ts";
import { runtimeCommand } from "../../../support/runtimes.ts";
import type { Spool } from "../../../support/spool.ts";

export const LIMIT = { timeout: 300_000 };

/** What `queue` left behind. */
export interface QueueResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `queue ARGS` on the spool's directory until it ends. */
export async function queue(
  spool: Spool,
  args: readonly string[],
  input: string | Uint8Array = "",
): Promise<QueueResult> {
  const file = new URL("../../../../src/commands/queue.ts", import.meta.url);
  const [command, commandArgs] = runtimeCommand(file, args);
  const child = spawn(command, commandArgs, {
    env: { ...process.env, EVENTSPOOL_DIR: spool.directory, NO_COLOR: "1" },
  });
  child.stdin.on("error", () => {}); // it need not read
  child.stdin.end(input);
  const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await closed, stdout, stderr };
}

/** The lines of a verb's --json. */
export async function json(
  spool: Spool,
  args: readonly string[],
  code = 0,
): Promise<Record<string, unknown>[]> {
  const result = await queue(spool, [...args, "--json"]);
  assert.equal(result.code, code, result.stderr);
  return result.stdout
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Makes dead letters of `count` events, from `firstId` on. All before it must be claimed. */
export function insertDeadLetters(spool: Spool, count: number, firstId: number = 1): void {
  const file = QueueFile.open(spool.queue.file);
  const leases = new LeaseTable(file, 60_000);
  for (let id = firstId; id < firstId + count; id++)
    deadLetter(leases, leases.claim(id - 1, id)!, { status: 422, response: `no noun in ${id}` });
  file.close();
}
