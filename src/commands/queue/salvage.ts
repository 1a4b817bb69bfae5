import { resolve } from "node:path";
import { countOf } from "../../format.ts";
import { type Salvaged, salvage as salvageFile } from "../../storage/salvage.ts";
import { formatIdRange } from "../../wire/event_ids.ts";
import { type Call, existingFile, JSON_OUTPUT, QUEUE, UsageError, type Verb } from "./verb.ts";

/** How many ranges of ids are listed for people. */
const MAX_SHOWN_RANGES = 20;

/** `eventspool salvage` */
export const salvage: Verb = {
  summary: "copy what is readable in a damaged queue file to a new one",
  args: "[FILE]",
  options: {
    ...QUEUE,
    to: {
      type: "string",
      value: "NEW.db",
      help: "the new queue file; it must not exist",
      example: "events-main.salvaged.db",
      completes: "file",
    },
    ...JSON_OUTPUT,
  },
  details:
    "FILE is the damaged file (default: the file of the queue). Stop the processes that use it first. It is not changed. Events keep their ids, so a destination that drops duplicates drops those that it already has. A changed byte inside a text cannot be detected.",
  json: "one document: waiting, dead_letters, missing (ranges of ids), knows_delivered, repeats (subscriptions), knows_subscriptions, knows_settings, knows_names and pages.",
  fails: "some events could not be read",
  examples: ["--queue-name audit --to audit.salvaged.db", "events-main.db --to events-main.salvaged.db"],
  run(call: Call): number {
    const [from, ...others] = call.args;
    const { to } = call.values;
    if (others.length > 0) throw new UsageError("salvage takes one damaged file, such as events-main.db.");
    if (typeof to !== "string") throw new UsageError("missing option --to NEW.db.");
    const salvaged = salvageFile(from === undefined ? existingFile(call) : resolve(from), resolve(to));
    if (call.values.json) call.output.line(JSON.stringify(toJson(salvaged)));
    else for (const line of describe(salvaged, to)) call.output.line(line);
    return salvaged.missing.length === 0 ? 0 : 1;
  },
};

function toJson({ waiting, deadLetters, missing, repeats, pages, ...known }: Salvaged): object {
  return {
    waiting,
    dead_letters: deadLetters,
    missing: missing.map(({ firstId, lastId }) => ({ first_id: firstId, last_id: lastId })),
    knows_delivered: known.knowsDelivered,
    repeats,
    knows_subscriptions: known.knowsSubscriptions,
    knows_settings: known.knowsSettings,
    knows_names: known.knowsNames,
    pages,
  };
}

function* describe(salvaged: Salvaged, to: string): Generator<string> {
  const { waiting, deadLetters, missing, pages } = salvaged;
  yield `Saved ${countOf(waiting, "event")} and ${countOf(deadLetters, "dead letter")} to ${to}.`;
  if (pages.found < pages.expected)
    yield `The file ends early: ${pages.expected - pages.found} of ${pages.expected} pages are missing.`;
  if (!salvaged.knowsDelivered)
    yield `The file does not say any more which events were delivered to ${salvaged.repeats.join(", ")}: all that were found are sent there again.`;
  if (!salvaged.knowsSubscriptions)
    yield "The list of subscriptions is damaged: add those that are missing in the new file.";
  if (!salvaged.knowsSettings)
    yield "The file does not say any more its cap and its retention, nor whether it was paused: the new one has those of a new queue.";
  if (!salvaged.knowsNames)
    yield "The file does not say any more which UUID names its events: a destination cannot drop those that it has.";
  if (missing.length === 0) return;
  const count = missing.reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
  const shown = missing.slice(0, MAX_SHOWN_RANGES).map(formatIdRange).join(", ");
  const more =
    missing.length > MAX_SHOWN_RANGES ? ` and ${missing.length - MAX_SHOWN_RANGES} more ranges` : "";
  yield `Missing: ${countOf(count, "event")} that cannot be read: ids ${shown}${more}.`;
}
