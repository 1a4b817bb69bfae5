import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { ACCEPT, HANG, type Script, ScriptedCollector } from "../../support/scripted_collector.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { Crowd, EACH } from "./crowd.ts";
import { countUp, type Fault, random } from "./fault.ts";

/** One event in so many is poison. */
const POISON_EVERY = 997;

const MAX_EVENTS_AT_ONCE = 200;

const poisonous: Script = ({ numbers }) =>
  numbers.some((n) => n % POISON_EVERY === 0) ? { status: 422 } : { status: 200 };

/** How the collector is for a while. */
const MOODS: readonly Script[] = [
  ACCEPT,
  poisonous,
  (batch, nth) => (batch.numbers.length > MAX_EVENTS_AT_ONCE ? { status: 413 } : poisonous(batch, nth)),
  () => ({ status: 503, headers: { "Retry-After": "0" } }),
  () => ({ status: 403 }),
  HANG,
];

type Mischief = (crowd: Crowd, disk: SmallDisk) => Promise<void> | void;

const MISCHIEF: readonly Mischief[] = [
  (crowd) => {
    crowd.collector.script = MOODS[random(MOODS.length)]!;
  },
  (crowd) => crowd.freeze(random(2 * EACH), random(1_500)),
  (_, disk) => disk.fill(),
  (_, disk) => disk.free(),
  (crowd) => crowd.replaceProducer(random(EACH)),
  (crowd) => crowd.replacePublisher(random(EACH)),
];

/** Kills, freezes, full disks and a collector of many moods, by chance. */
const EVERYTHING: Fault = {
  name: "all of it at once: kills, freezes, a full disk, a failing collector",
  rounds: 150,
  quickRounds: 12,
  skip: noSmallDisks,
  async run(rounds) {
    using disk = new SmallDisk(48);
    await using collector = await ScriptedCollector.open();
    await using crowd = new Crowd(collector, disk.path);
    await crowd.working();
    for (let round = 0; round < rounds; round++) {
      await sleep(random(200));
      await MISCHIEF[random(MISCHIEF.length)]!(crowd, disk);
    }
    disk.free();
    collector.script = poisonous;
    for (let index = 0; index < EACH; index++) {
      await crowd.killProducer(index);
      await crowd.killPublisher(index);
      crowd.startPublisher(index);
    }
    await eventually("an empty queue", () => crowd.spool.queue.depth() === 0);
    assert.equal(crowd.spool.integrity(), "ok");
    const dead = crowd.spool.deadLetters().map(({ body }) => (JSON.parse(body) as { n: number }).n);
    assert.ok(
      dead.every((n) => n % POISON_EVERY === 0),
      "no other event is a dead letter",
    );
    return countUp(crowd.put, collector, dead);
  },
};

export const CHAOS: readonly Fault[] = [EVERYTHING];
