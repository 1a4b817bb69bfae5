#!/usr/bin/env node
/** `bun run queue VERB`, or `eventspool VERB`: the operator's tool. */
import process from "node:process";
import type { ParseArgsOptionsConfig } from "node:util";
import { didYouMean } from "../did_you_mean.ts";
import { EventStorageError } from "../errors.ts";
import { VERSION } from "../version.ts";
import { parseCommandLine, runCommand, stopOnSignals, UsageError } from "./command.ts";
import { printLines, standardOutput } from "./output.ts";
import { check } from "./queue/check.ts";
import { DEAD_ACTIONS, dead } from "./queue/dead.ts";
import { depth } from "./queue/depth.ts";
import { drain } from "./queue/drain.ts";
import { list } from "./queue/list.ts";
import { peek, tail } from "./queue/peek.ts";
import { purge } from "./queue/purge.ts";
import { put } from "./queue/put.ts";
import type { Call, Verb } from "./queue/verb.ts";

const VERBS: Readonly<Record<string, Verb>> = { list, depth, peek, tail, dead, put, drain, purge, check };

const COMMON_HELP = `  --queue-name NAME   the queue (default: main)
  --directory DIR     where its file is (default: $EVENTSPOOL_DIR, $STATE_DIRECTORY,
                      $XDG_STATE_HOME/eventspool, ~/.local/state/eventspool)
  --file PATH         a service's database instead, for the outbox in it
  --json              for programs: one JSON document, or one a line
  --help              print this, and exit
`;

const HELP = `Looks into a queue and mends it, beside the services and publishers that use it.

Usage: queue VERB [options]

${Object.entries(VERBS)
  .map(([name, { summary }]) => `  ${name.padEnd(8)}  ${summary}`)
  .join("\n")}

Options of every verb:
${COMMON_HELP}  --version           print the version, and exit

"queue VERB --help" tells more of one. Exit codes: 0 fine, 1 failed, or not all was
done, or check found a problem, 2 wrong usage or no such queue.
`;

const COMMON = {
  "queue-name": { type: "string", default: "main" },
  directory: { type: "string" },
  file: { type: "string" },
  json: { type: "boolean" },
  version: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const satisfies ParseArgsOptionsConfig;

await runCommand("queue", async () => {
  const output = standardOutput();
  const [name, ...rest] = process.argv.slice(2);
  if (name === undefined || name.startsWith("-")) return withoutVerb();
  const verb = VERBS[name];
  if (verb === undefined) throw new UsageError(`no such verb: ${name}${suggest(name, Object.keys(VERBS))}`);

  const { values, positionals } = parseCommandLine({ ...COMMON, ...verb.options }, rest);
  if (values.help) return printLines(helpOf(name, verb));
  checkArguments(name, positionals);
  rejectBoth(values);
  const call: Call = {
    queue: String(values["queue-name"]),
    directory: values.directory as string | undefined,
    file: values.file as string | undefined,
    values: values as Call["values"],
    args: positionals,
    stop: stopOnSignals(),
    output,
  };
  return runVerb(verb, call);
});

/** A file that cannot be used is misuse (2), also to the publisher; one that fails on the way is a failure (1). */
async function runVerb(verb: Verb, call: Call): Promise<number> {
  try {
    return await verb.run(call);
  } catch (error) {
    const failed = error instanceof EventStorageError && /^SQLITE_(FULL|BUSY|IOERR)/.test(error.code);
    throw failed ? new Error(error.message, { cause: error }) : error;
  }
}

function withoutVerb(): void {
  const { values } = parseCommandLine(COMMON);
  if (values.version) standardOutput().line(VERSION);
  else if (values.help) printLines(HELP.trimEnd());
  else throw new UsageError(`no verb: say one of ${Object.keys(VERBS).join(", ")}.`);
}

/** A queue is in a directory, or an outbox in a service's database. */
function rejectBoth({ file, directory }: { file?: unknown; directory?: unknown }): void {
  if (file !== undefined && directory !== undefined)
    throw new UsageError("--file and --directory are two places: name one of them.");
}

/** Only `dead` takes words behind it. */
function checkArguments(name: string, args: readonly string[]): void {
  const [action] = args;
  if (name !== "dead") {
    if (action === undefined) return;
    throw new UsageError(`${name} takes no ${JSON.stringify(action)}: the queue is named with --queue-name.`);
  }
  if (action === undefined || DEAD_ACTIONS.includes(action)) return;
  throw new UsageError(`no such verb: dead ${action}${suggest(action, DEAD_ACTIONS)}`);
}

function suggest(word: string, words: readonly string[]): string {
  const meant = words.find((known) => known.startsWith(word)) ?? didYouMean(word, words);
  return meant === undefined ? `. There are ${words.join(", ")}.` : `. Is ${meant} meant?`;
}

function helpOf(name: string, { summary, usage, help }: Verb): string {
  const options = `${help}\n${COMMON_HELP}`;
  return `queue ${name}: ${summary}\n\nUsage: queue ${name} ${usage} [options]\n\n${options}`.trimEnd();
}
