import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { WakeableSleep } from "../../../src/publisher/waiting.ts";

test("sleeps until its time is over", async () => {
  const sleeper = new WakeableSleep();
  const startedAtMs = performance.now();

  await sleeper.sleep(20);

  assert.ok(performance.now() - startedAtMs >= 15, "timers may round down");
});

test("sleeps until it is woken", async () => {
  const sleeper = new WakeableSleep();
  const slept = sleeper.sleep(Number.POSITIVE_INFINITY);
  assert.equal(await isOver(slept), false);

  sleeper.wake();

  await slept;
});

test("ends at once after an earlier wake-up", async () => {
  const sleeper = new WakeableSleep();

  sleeper.wake();
  sleeper.wake();

  await sleeper.sleep(Number.POSITIVE_INFINITY);
  const later = sleeper.sleep(Number.POSITIVE_INFINITY);
  assert.equal(await isOver(later), false, "both woke the same sleep");
  sleeper.wake();
});

test("loses no wake-up between two sleeps", async () => {
  const sleeper = new WakeableSleep();
  for (let round = 0; round < 100; round++) {
    const slept = sleeper.sleep(Number.POSITIVE_INFINITY);
    sleeper.wake();
    await slept;
    sleeper.wake();
    await sleeper.sleep(Number.POSITIVE_INFINITY);
  }
});

test("leaves no timer that ends a later sleep", async () => {
  const sleeper = new WakeableSleep();
  const slept = sleeper.sleep(10);
  sleeper.wake();
  await slept;

  const later = sleeper.sleep(Number.POSITIVE_INFINITY);
  await setTimeout(30);

  assert.equal(await isOver(later), false);
  sleeper.wake();
});

test("has a wake function that can be passed on", async () => {
  const sleeper = new WakeableSleep();
  const { wake } = sleeper;
  const slept = sleeper.sleep(Number.POSITIVE_INFINITY);
  wake();
  await slept;
});

/** Whether a promise is settled after a turn of the event loop. */
async function isOver(promise: Promise<void>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), setTimeout(5, false)]);
}
