import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a condition may take on a slow machine, in milliseconds: longer means that it hangs. */
const DEADLINE_MS = 150_000;

/** How long it sleeps between two looks: ever longer, since a look is often a request to a busy program. */
const INTERVAL_MS = { first: 5, last: 50 };

/**
 * Waits until `look` returns something truthy, and returns that. Fails naming what was waited for, a
 * noun phrase, after two and a half minutes or `withinMs`.
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs: number = DEADLINE_MS,
): Promise<NonNullable<T>> {
  const deadlineMs = performance.now() + withinMs;
  for (let intervalMs = INTERVAL_MS.first; ; intervalMs = Math.min(1.3 * intervalMs, INTERVAL_MS.last)) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadlineMs) assert.fail(`waited without success for ${what}`);
    await sleep(intervalMs);
  }
}
