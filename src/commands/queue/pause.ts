import { formatDuration } from "../../format.ts";
import { Pause } from "../../storage/pause.ts";
import { type Call, JSON_OUTPUT, openToWrite, QUEUE_OR_OUTBOX, type Verb } from "./verb.ts";

const JSON_HELP = "one document: queue, paused, and changed (false: it already was).";

/** `eventspool pause` */
export const pause: Verb = {
  summary: "stop sending: the queue's publishers wait until resume",
  options: { ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details:
    "Puts continue, up to the cap. Publishers notice it within about a second: they finish the batches in flight and claim no more. The pause is stored in the queue file, so it survives restarts.",
  json: JSON_HELP,
  examples: ["", "--queue-name audit"],
  run: (call) => setPaused(call, true),
};

/** `eventspool resume` */
export const resume: Verb = {
  summary: "send again after pause",
  options: { ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  json: JSON_HELP,
  examples: ["", "--queue-name audit"],
  run: (call) => setPaused(call, false),
};

function setPaused(call: Call, paused: boolean): number {
  const { queue, values, output } = call;
  using file = openToWrite(call);
  const state = new Pause(file);
  const sinceMs = state.sinceMs();
  const changed = (sinceMs !== undefined) !== paused;
  if (changed) state.set(paused);
  const time = sinceMs === undefined ? "" : formatDuration(Date.now() - sinceMs);
  if (values.json) output.line(JSON.stringify({ queue, paused, changed }));
  else if (changed) output.line(paused ? `Paused queue ${queue}.` : `Resumed queue ${queue}, after ${time}.`);
  else output.line(`Queue ${queue} ${paused ? `has been paused for ${time}` : "is not paused"}.`);
  return 0;
}
