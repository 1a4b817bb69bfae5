/** `eventspool VERB`: the table of all verbs. */
import process from "node:process";
import { VERSION } from "../version.ts";
import { adopt } from "./adopt.ts";
import {
  calledAs,
  exitCodes,
  optionLines,
  type Program,
  parseCommandLine,
  runCommand,
  runVerb,
  suggestion,
} from "./command.ts";
import { completionOf } from "./completion.ts";
import { printLines, standardOutput } from "./output.ts";
import { check } from "./queue/check.ts";
import { deadExport, deadList, deadPurge, deadRetry, deadShow } from "./queue/dead.ts";
import { depth } from "./queue/depth.ts";
import { drain } from "./queue/drain.ts";
import { find } from "./queue/find.ts";
import { init } from "./queue/init.ts";
import { list } from "./queue/list.ts";
import { pause, resume } from "./queue/pause.ts";
import { peek, tail } from "./queue/peek.ts";
import { purge } from "./queue/purge.ts";
import { put } from "./queue/put.ts";
import { replay } from "./queue/replay.ts";
import { salvage } from "./queue/salvage.ts";
import { status } from "./queue/status.ts";
import {
  subscriptionsAdd,
  subscriptionsList,
  subscriptionsRemove,
  subscriptionsSeek,
} from "./queue/subscriptions.ts";
import { type Options, UsageError, type Verb } from "./queue/verb.ts";
import { collector, publisher } from "./services.ts";

const PROGRAM: Program = { bin: "eventspool", script: "queue" };

/** All verbs, by what is typed. */
export const VERBS: Readonly<Record<string, Verb>> = {
  init,
  publisher,
  collector,
  status,
  list,
  depth,
  peek,
  tail,
  find,
  put,
  drain,
  purge,
  replay,
  "subscriptions list": subscriptionsList,
  "subscriptions add": subscriptionsAdd,
  "subscriptions remove": subscriptionsRemove,
  "subscriptions seek": subscriptionsSeek,
  "dead list": deadList,
  "dead show": deadShow,
  "dead retry": deadRetry,
  "dead purge": deadPurge,
  "dead export": deadExport,
  pause,
  resume,
  check,
  salvage,
  adopt,
  completion: completionOf(() => VERBS),
};

const OPTIONS: Options = {
  version: { type: "boolean", help: "print the version" },
  help: { type: "boolean", short: "h", help: "print this help" },
};

/** Runs what the command line says. */
export async function eventspool(): Promise<never> {
  const program = calledAs(PROGRAM);
  const args = withoutHelpVerb(process.argv.slice(2));
  const [first, second] = args;
  if (first === undefined || first.startsWith("-"))
    return runCommand(program, async () => withoutVerb(program, args));
  const isGroup = groupOf(first).length > 0;
  if (isGroup && second !== undefined && /^--?h(elp)?$/.test(second))
    return runCommand(program, async () => printLines(groupHelp(program, first)));
  // The first of a group is what the word alone means.
  const hasWord = second !== undefined && !second.startsWith("-");
  const name = !isGroup ? first : hasWord ? `${first} ${second}` : groupOf(first)[0]!;
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) return runCommand(program, async () => rejectUnknown(name, first));
  return runVerb(`${program} ${name}`, verb, { program, args: args.slice(isGroup && hasWord ? 2 : 1) });
}

/** `help depth` means `depth --help`. */
function withoutHelpVerb([first, ...rest]: readonly string[]): readonly string[] {
  if (first === "help") return [...rest, "--help"];
  return first === undefined ? [] : [first, ...rest];
}

/** The verbs that begin with a word: `dead list`, `dead show`, ... */
function groupOf(word: string): string[] {
  return Object.keys(VERBS).filter((name) => name.startsWith(`${word} `));
}

function withoutVerb(program: string, args: readonly string[]): void {
  const { values } = parseCommandLine(OPTIONS, args);
  if (values.version) standardOutput().line(VERSION);
  else if (values.help) printLines(programHelp(program));
  else throw new UsageError("no verb.");
}

function rejectUnknown(name: string, first: string): never {
  const group = groupOf(first);
  const known =
    group.length > 0 ? group : [...new Set(Object.keys(VERBS).map((verb) => verb.split(" ")[0]!))];
  const meant = suggestion(name, known);
  throw new UsageError(`unknown verb ${name}${meant === undefined ? "." : `: did you mean ${meant}?`}`);
}

function programHelp(program: string): string {
  return `${program}: a durable event queue: inspect, repair and publish it

Usage: ${program} VERB [options]

${verbLines(Object.keys(VERBS)).join("\n")}

Options:
${optionLines(OPTIONS).join("\n")}

Help of a verb: ${program} depth --help

${exitCodes("not all was done, or check found a problem")}`;
}

function groupHelp(program: string, word: string): string {
  return `Usage: ${program} ${word} VERB [options]

${verbLines(groupOf(word)).join("\n")}

Help of a verb: ${program} ${groupOf(word)[0]} --help`;
}

function verbLines(names: readonly string[]): string[] {
  const width = Math.max(...names.map((name) => name.length)) + 2;
  return names.map((name) => `  ${name.padEnd(width)}${VERBS[name]!.summary}`);
}
