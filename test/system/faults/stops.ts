import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ACCEPT, HANG, type Script, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";
import { type Counts, countUp, type Fault, random, sumOf } from "./fault.ts";

/** How a collector is while the publisher is told to stop. */
const SLOW: Script = async () => {
  await sleep(100 + random(400));
  return { status: 200 };
};

/** Stops a publisher at any moment, while 2,000 events a second are put; another one delivers the rest. */
async function stopOnce(script: Script | undefined, signal: NodeJS.Signals): Promise<Counts> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  if (script !== undefined) collector.script = script;
  await using producer = start("test/support/programs/reporting_producer.ts", [spool.directory, "1", "2000"]);
  const port = script === undefined ? 9 : collector.port; // nobody listens on 9
  await using publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${port}`,
    "publisher.grace": "1s",
  });
  await Promise.all([publishing(publisher), producer.line(/^1$/)]);
  await sleep(random(400));

  assert.equal(await stop(publisher, signal), 0, publisher.stderr.join("\n"));
  const heldAfter = spool.leases().filter(({ expires_at_ms }) => expires_at_ms > Date.now());
  assert.deepEqual(heldAfter, [], "no lease is left behind");

  await stop(producer, "SIGTERM");
  collector.script = ACCEPT;
  await using next = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(next), 0);
  return countUp(producer.stdout.map(Number), collector);
}

function stopping(kind: string, script: Script | undefined): Fault {
  return {
    name: `SIGTERM, SIGINT; the collector ${kind}`,
    rounds: 10,
    quickRounds: 2,
    async run(rounds) {
      const counts: Counts[] = [];
      for (let round = 0; round < rounds; round++)
        counts.push(await stopOnce(script, round % 2 === 0 ? "SIGTERM" : "SIGINT"));
      return sumOf(counts);
    },
  };
}

export const STOPS: readonly Fault[] = [
  stopping("is quick", ACCEPT),
  stopping("is slow", SLOW),
  stopping("hangs", HANG),
  stopping("is dead", undefined),
];
