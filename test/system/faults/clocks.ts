import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ACCEPT, ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool, stop } from "../../support/spool.ts";
import { countUp, type Fault, random } from "./fault.ts";

const HOUR_MS = 3_600_000;
const PROGRAM = "test/support/programs/with_clock.ts";
const JUMPS = [HOUR_MS, -HOUR_MS, 0];

/** Clocks of producer and publishers jump by an hour, each by itself, with batches in flight and failing. */
const JUMPING: Fault = {
  name: "clocks that jump by an hour, both ways",
  rounds: 60,
  quickRounds: 6,
  async run(rounds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const clocks = ["producer", "publisher", "other"].map((name) => join(spool.directory, `${name}.clock`));
    for (const clock of clocks) writeFileSync(clock, "0");
    const [ofProducer = "", ofPublisher = "", ofOther = ""] = clocks;
    const settings = {
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "collector.timeout": "1s",
      "publisher.concurrency": 2,
    };
    const publish = (clock: string) =>
      start(PROGRAM, [clock, "src/commands/publisher.ts", ...spool.publisherArgs(settings)]);
    const produce = ["test/support/programs/reporting_producer.ts", spool.directory, "1", "500"];
    await using producer = start(PROGRAM, [ofProducer, ...produce]);
    await using publisher = publish(ofPublisher);
    await using other = publish(ofOther);
    await producer.line(/^1$/);

    collector.script = async () => {
      await sleep(random(150));
      return { status: random(4) === 0 ? 503 : 200 };
    };
    for (let round = 0; round < rounds; round++) {
      await sleep(random(300));
      writeFileSync(clocks[random(clocks.length)]!, String(JUMPS[random(JUMPS.length)]));
    }
    other.signal("SIGKILL"); // with leases of another hour
    await stop(producer);
    collector.script = ACCEPT;
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    await stop(publisher);
    return countUp(producer.stdout.map(Number), collector);
  },
};

export const CLOCKS: readonly Fault[] = [JUMPING];
