import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { durationMsIn } from "../config/parsers.ts";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { countOf, formatDuration } from "../format.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { queueFilePath } from "../storage/locations.ts";
import { seenPublisher } from "../storage/presence.ts";
import { queuesIn } from "../storage/queue_directory.ts";
import { DEFAULT_SUBSCRIPTION, type SubscriptionState } from "../storage/subscriptions.ts";
import { configureLogging } from "./logging.ts";
import { type Call, JSON_OUTPUT, readOption, UsageError, type Verb } from "./queue/verb.ts";

/** How often it is looked whether a subscription is empty, in milliseconds. */
const LOOK_EVERY_MS = 50;

/**
 * How long to wait while nothing is delivered, in milliseconds: longer than the leases of a dead publisher, which end
 * after `collector.timeout` and 5 s.
 */
const DEFAULT_WAIT_MS = 300_000;

const parseWait = durationMsIn({ min: 1_000, max: 86_400_000 });

/** What happened to a subscription of a queue. */
interface Adopted {
  readonly queue: string;
  readonly subscription: string;
  readonly delivered: number;
  readonly deadLetters: number;
  readonly left: number;
  /** Why the queue was skipped, or why events are left; undefined: none are left. */
  readonly problem?: string;
}

/** `eventspool adopt` */
export const adopt: Verb = {
  summary: "deliver the events in the queue files of a dead host, and exit",
  args: "DIR CONFIG_FILE...",
  options: {
    wait: {
      type: "string",
      value: "TIME",
      help: "give up when nothing was delivered for this time, such as 30s (default: 5m)",
      example: "30s",
    },
    ...JSON_OUTPUT,
    debug: { type: "boolean", help: "log every batch" },
  },
  details:
    "DIR is the directory of the queue files, such as a mounted volume of that host. Each queue needs its section in CONFIG_FILE; queue.directory and queue.file are not used. A queue with several subscriptions needs a CONFIG_FILE for each (publisher.subscription), since each has its own destination. Events keep their ids, so a collector that drops duplicates stores each once. The files are not removed. If events are left, run it again.",
  json: "one document per subscription: queue, subscription, delivered, dead_letters, left and, if events are left, problem.",
  fails: "events are left, a queue was skipped, or it was interrupted",
  examples: ["/mnt/old-pod/eventspool config.ini", "/mnt/old-pod/eventspool config.ini audit.ini --wait 1h"],
  async run(call: Call): Promise<number> {
    const [directory, ...configFiles] = call.args;
    if (directory === undefined || configFiles.length === 0)
      throw new UsageError("adopt takes a directory of queue files and configuration files.");
    const waitMs = readOption(call, "wait", parseWait) ?? DEFAULT_WAIT_MS;
    configureLogging({ debug: call.values.debug === true });
    const surroundings = { directory: resolve(directory), configFiles, waitMs, stop: call.stop };
    let isWhole = true;
    for (const queue of queuesIn(surroundings.directory))
      for await (const adopted of adoptQueue(queue, surroundings)) {
        call.output.line(call.values.json ? JSON.stringify(toJson(adopted)) : describe(adopted));
        isWhole &&= adopted.left === 0 && adopted.problem === undefined;
      }
    return isWhole && !call.stop.aborted ? 0 : 1;
  },
};

function toJson({ queue, subscription, delivered, deadLetters, left, problem }: Adopted): object {
  return { queue, subscription, delivered, dead_letters: deadLetters, left, problem };
}

function describe({ queue, subscription, delivered, deadLetters, left, problem }: Adopted): string {
  const name = subscription === DEFAULT_SUBSCRIPTION ? queue : `${queue}, subscription ${subscription}`;
  if (problem !== undefined && delivered + left === 0) return `${name}: skipped: ${problem}`;
  const dead = deadLetters === 0 ? "" : `, ${countOf(deadLetters, "dead letter")}`;
  const why = problem === undefined ? "" : `: ${problem}`;
  return `${name}: delivered ${countOf(delivered, "event")}, ${left} left${dead}${why}`;
}

interface Surroundings {
  readonly directory: string;
  readonly configFiles: readonly string[];
  readonly waitMs: number;
  readonly stop: AbortSignal;
}

/** Serves the configured subscriptions, one after the other, and reports the others. */
async function* adoptQueue(queue: string, surroundings: Surroundings): AsyncGenerator<Adopted> {
  const { directory, configFiles, stop } = surroundings;
  const untouched = { queue, subscription: DEFAULT_SUBSCRIPTION, delivered: 0, deadLetters: 0, left: 0 };
  const { configs, problems } = loadConfigs(queue, configFiles);
  if (configs.length === 0) yield { ...untouched, problem: problems.join("; ") };
  const served = new Set<string>();
  let all: readonly SubscriptionState[] = [];
  for (const config of configs) {
    if (stop.aborted) return;
    const subscription = config.subscription.name;
    served.add(subscription);
    try {
      const seen = seenPublisher(queueFilePath(queue, directory), subscription);
      if (seen?.isAlive === true) {
        const publisher = `process ${seen.report?.pid ?? "unknown"}`;
        yield { ...untouched, subscription, problem: `a publisher uses it (${publisher}): stop it first` };
        continue;
      }
      const { counts, subscriptions } = await publishAll(
        { ...config, directory, file: undefined },
        surroundings,
      );
      all = subscriptions;
      yield { queue, subscription, ...counts };
    } catch (error) {
      yield { ...untouched, subscription, problem: (error as Error).message };
    }
  }
  for (const { name, depth, deadLetters } of all) {
    if (served.has(name) || depth === 0) continue;
    const problem = ["no configuration file has this publisher.subscription", ...problems].join("; ");
    yield { queue, subscription: name, delivered: 0, deadLetters, left: depth, problem };
  }
}

/** Not every file needs a section for every queue. */
function loadConfigs(
  queueName: string,
  files: readonly string[],
): { configs: PublisherConfig[]; problems: string[] } {
  const configs: PublisherConfig[] = [];
  const problems: string[] = [];
  for (const file of files)
    try {
      configs.push(loadPublisherConfig(file, { queueName }));
    } catch (error) {
      problems.push((error as Error).message);
    }
  return { configs, problems };
}

interface Published {
  readonly counts: Pick<Adopted, "delivered" | "deadLetters" | "left" | "problem">;
  /** All subscriptions of the queue, as they are now. */
  readonly subscriptions: readonly SubscriptionState[];
}

async function publishAll(config: PublisherConfig, { waitMs, stop }: Surroundings): Promise<Published> {
  const { Publisher } = await import("../publisher/publisher.ts");
  await using publisher = new Publisher(config);
  const done = new AbortController();
  const running = publisher.run({ signal: AbortSignal.any([done.signal, stop]) });
  const problem = await emptied(publisher, { waitMs, stop });
  done.abort();
  await running;
  const { delivered, state } = publisher.status();
  const { deadLetters = 0, depth: left = 0 } = ownState(publisher) ?? {};
  const counts = { delivered, deadLetters, left, ...(problem !== undefined && { problem }) };
  return { counts, subscriptions: state.subscriptions };
}

/** Waits until the publisher's subscription is empty. Returns why it did not become so; undefined: it did. */
async function emptied(
  publisher: Publisher,
  { waitMs, stop }: Pick<Surroundings, "waitMs" | "stop">,
): Promise<string | undefined> {
  const { healthOf } = await import("../publisher/health.ts");
  let depth = Number.POSITIVE_INFINITY;
  let progressAtMs = performance.now();
  while (!stop.aborted) {
    const left = ownState(publisher)?.depth ?? 0;
    if (left === 0) return undefined;
    const status = publisher.status();
    if (status.pausedAtMs !== undefined) return "it is paused: resume it first";
    if (left < depth) progressAtMs = performance.now();
    depth = left;
    if (performance.now() - progressAtMs >= waitMs) {
      const reasons = healthOf(status).reasons.map((reason) => ` (${reason})`);
      return `nothing was delivered for ${formatDuration(waitMs)}${reasons.join("")}; run it again`;
    }
    await sleep(LOOK_EVERY_MS);
  }
  return "interrupted; run it again";
}

function ownState(publisher: Publisher): SubscriptionState | undefined {
  return publisher.status().state.subscriptions.find(({ name }) => name === publisher.subscription);
}
