import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { countOf } from "../format.ts";
import { queueFilePath } from "../storage/locations.ts";
import { seenPublisher } from "../storage/presence.ts";
import { queuesIn } from "../storage/queue_directory.ts";
import { configureLogging } from "./logging.ts";
import { type Call, JSON_OUTPUT, UsageError, type Verb } from "./queue/verb.ts";

/** How often it is looked whether a queue is empty, in milliseconds. */
const LOOK_EVERY_MS = 50;

/** What happened to a queue. */
interface Adopted {
  readonly queue: string;
  readonly delivered: number;
  readonly deadLetters: number;
  readonly left: number;
  /** Why it was left alone; undefined: it was not. */
  readonly problem?: string;
}

/** `eventspool adopt` */
export const adopt: Verb = {
  summary: "deliver what the queue files of a dead host hold, and stop",
  args: "DIR CONFIG_FILE",
  options: {
    ...JSON_OUTPUT,
    debug: { type: "boolean", help: "log every batch" },
  },
  details:
    "DIR is where the queue files are, such as a volume that was mounted elsewhere. Each queue needs its section in CONFIG_FILE; queue.directory and queue.file are not used. Events keep the names that they have, so that a collector that drops duplicates stores each once. The files stay.",
  json: "one document a queue: queue, delivered, deadLetters, left and, where it was left alone, problem.",
  fails: "a queue was left alone or is not empty, or it was interrupted",
  examples: ["/mnt/old-pod/eventspool config.ini"],
  async run(call: Call): Promise<number> {
    const [directory, configFile, ...others] = call.args;
    if (directory === undefined || configFile === undefined || others.length > 0)
      throw new UsageError("adopt takes a directory of queue files and a configuration file.");
    configureLogging({ debug: call.values.debug === true });
    let isWhole = true;
    for (const queue of queuesIn(resolve(directory))) {
      if (call.stop.aborted) return 1;
      const adopted = await adoptQueue(queue, { directory: resolve(directory), configFile, stop: call.stop });
      call.output.line(call.values.json ? JSON.stringify(adopted) : describe(adopted));
      isWhole &&= adopted.left === 0 && adopted.problem === undefined;
    }
    return isWhole ? 0 : 1;
  },
};

function describe({ queue, delivered, deadLetters, left, problem }: Adopted): string {
  if (problem !== undefined) return `${queue}: left alone: ${problem}`;
  const dead = deadLetters === 0 ? "" : `, ${countOf(deadLetters, "dead letter")}`;
  return `${queue}: delivered ${countOf(delivered, "event")}, ${left} left${dead}`;
}

interface Surroundings {
  readonly directory: string;
  readonly configFile: string;
  readonly stop: AbortSignal;
}

async function adoptQueue(queue: string, { directory, configFile, stop }: Surroundings): Promise<Adopted> {
  const untouched = { queue, delivered: 0, deadLetters: 0, left: 0 };
  try {
    const config = { ...loadPublisherConfig(configFile, { queueName: queue }), directory, file: undefined };
    const seen = seenPublisher(queueFilePath(queue, directory), config.subscription.name);
    if (seen?.isAlive !== true) return { queue, ...(await publishAll(config, stop)) };
    const publisher = `process ${seen.report?.pid ?? "unknown"}`;
    return { ...untouched, problem: `a publisher uses it (${publisher}): stop it first` };
  } catch (error) {
    return { ...untouched, problem: (error as Error).message };
  }
}

async function publishAll(config: PublisherConfig, stop: AbortSignal): Promise<Omit<Adopted, "queue">> {
  const { Publisher } = await import("../publisher/publisher.ts");
  await using publisher = new Publisher(config);
  const done = new AbortController();
  const running = publisher.run({ signal: AbortSignal.any([done.signal, stop]) });
  const own = () =>
    publisher.status().state.subscriptions.find(({ name }) => name === publisher.subscription);
  while ((own()?.depth ?? 0) > 0 && publisher.status().pausedAtMs === undefined && !stop.aborted)
    await sleep(LOOK_EVERY_MS);
  done.abort();
  await running;
  const { delivered, pausedAtMs } = publisher.status();
  const { deadLetters = 0, depth: left = 0 } = own() ?? {};
  const counts = { delivered, deadLetters, left };
  return pausedAtMs === undefined ? counts : { ...counts, problem: "it is paused: resume it first" };
}
