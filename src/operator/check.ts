import process from "node:process";
import { EventStorageError } from "../errors.ts";
import type { QueueFile } from "../store/queue_file.ts";
import { VERSION } from "../version.ts";
import { examineDirectory, examineFile } from "./check_place.ts";
import { examineLock, examineQueue } from "./check_queue.ts";
import { type Finding, ok, problem } from "./finding.ts";
import { type Call, existingFile, openToRead, openToWrite, type Verb } from "./verb.ts";

const MARKS: Readonly<Record<Finding["level"], string>> = {
  ok: "ok      ",
  warning: "WARNING ",
  problem: "PROBLEM ",
};

/** `queue check` */
export const check: Verb = {
  summary: "examine the queue: file, disk, leases, ages, clock",
  usage: "",
  help: "It changes nothing. The exit code is 1 when there is a problem; each comes with what to do.\n",
  options: {},
  run(call: Call): number {
    const path = existingFile(call);
    const findings: Finding[] = [];
    for (const finding of examine(path, call)) {
      findings.push(finding);
      if (!call.values.json) for (const line of describe(finding)) call.output.line(line);
    }
    const problems = findings.filter(({ level }) => level === "problem").length;
    if (call.values.json)
      call.output.line(JSON.stringify({ queue: call.queue, file: path, problems, findings }));
    return problems > 0 ? 1 : 0;
  },
};

function* examine(path: string, call: Call): Generator<Finding> {
  yield ok(`eventspool ${VERSION}, ${runtime()}`);
  yield* examineDirectory(path);
  yield* examineFile(path);
  yield* withFile(() => openToRead(call), examineQueue);
  yield* withFile(() => openToWriteOnly(call), examineLock);
}

/** Opens, examines and closes; a file that cannot be opened or read through is a finding, too. */
function* withFile(
  open: () => QueueFile | undefined,
  look: (file: QueueFile) => Generator<Finding>,
): Generator<Finding> {
  let file: QueueFile | undefined;
  try {
    file = open();
    if (file !== undefined) yield* look(file);
  } catch (error) {
    yield problem((error as Error).message, "until then no event is put or delivered");
  } finally {
    file?.close();
  }
}

/** Only a file that can be read is opened for writing: that would upgrade an older one, or begin in an empty one. */
function openToWriteOnly(call: Call): QueueFile | undefined {
  try {
    openToRead(call).close();
  } catch (error) {
    if (error instanceof EventStorageError) return undefined; // told already
    throw error;
  }
  return openToWrite(call);
}

function describe({ level, text, advice }: Finding): string[] {
  const first = `${MARKS[level]} ${text}`;
  return advice === undefined ? [first] : [first, `          -> ${advice}`];
}

function runtime(): string {
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return `Bun ${bun}`;
  return deno === undefined ? `Node ${node}` : `Deno ${deno}`;
}
