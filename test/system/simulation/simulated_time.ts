/**
 * Time that passes only when nothing else is left to do, for Node: all that asks for the time or waits for it, whichever
 * module it takes that from, gets this time. Waiting for the disk and turns of the event loop stay real, but short.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";
import timers from "node:timers";
import timersPromises, { setImmediate as nextTurn } from "node:timers/promises";

/** When the simulation begins, in Unix milliseconds. */
const BEGIN_MS = Date.UTC(2026, 0, 1);

/**
 * What is done again and again though nothing happens, such as to look at the health, by an interval or by a sleep of
 * `node:timers/promises`, is done this much less often.
 */
const IDLE_FACTOR = 9_000;

/** How many turns without anything to do show that nothing is left. */
const QUIET_TURNS = 3;

/** Whose timers they are: those of one that is killed never end. */
export interface Actor {
  isDead: boolean;
}

/** What waits. */
class Timer {
  readonly atMs: number;
  readonly actor: Actor | undefined;
  readonly run: () => void;
  isCleared = false;

  constructor(atMs: number, actor: Actor | undefined, run: () => void) {
    this.atMs = atMs;
    this.actor = actor;
    this.run = run;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  [Symbol.dispose](): void {
    this.isCleared = true;
  }
}

const actors = new AsyncLocalStorage<Actor>();

/** The time of the process, once {@link SimulatedTime.install} was called. */
export class SimulatedTime {
  /** What no clock change can turn back, in milliseconds since the begin. */
  nowMs = 0;
  /** How much the clock on the wall is ahead of it, in milliseconds. */
  clockErrorMs = 0;
  readonly #timers: Timer[] = [];

  /** Replaces the clocks and timers of the process. */
  install(): void {
    const set = (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]): Timer =>
      this.after(Math.max(1, delayMs), () => run(...args));
    const repeat = (run: () => void, delayMs = 0): Timer => {
      const timer: Timer = set(() => {
        run();
        const next = repeat(run, delayMs);
        timer[Symbol.dispose] = () => next[Symbol.dispose]();
      }, delayMs * IDLE_FACTOR);
      return timer;
    };
    const clear = (timer: Timer | undefined): void => timer?.[Symbol.dispose]();
    const all = { setTimeout: set, setInterval: repeat, clearTimeout: clear, clearInterval: clear };
    Object.assign(globalThis, all);
    Object.assign(timers, all);
    timersPromises.setTimeout = ((delayMs, value, options) =>
      this.sleep((delayMs ?? 0) * IDLE_FACTOR, options?.signal).then(
        () => value,
      )) as typeof timersPromises.setTimeout;
    Date.now = () => Math.floor(BEGIN_MS + this.nowMs + this.clockErrorMs);
    performance.now = () => this.nowMs;
    // Nobody is told of writes: the real file system would tell at real times.
    fs.watch = (() => ({ on: () => {}, close: () => {} })) as unknown as typeof fs.watch;
    syncBuiltinESMExports();
  }

  /** Runs something on behalf of an actor, with all that it starts. */
  as<T>(actor: Actor, run: () => T): T {
    return actors.run(actor, run);
  }

  /** Calls back after a while. */
  after(delayMs: number, run: () => void): Timer {
    const timer = new Timer(this.nowMs + delayMs, actors.getStore(), run);
    // Behind those that are due at the same time.
    const at = this.#timers.findLastIndex(({ atMs }) => atMs <= timer.atMs) + 1;
    this.#timers.splice(at, 0, timer);
    return timer;
  }

  /** Resolves after a while. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        timer[Symbol.dispose]();
        reject(signal?.reason);
      };
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets time pass, from one timer to the next, and calls `onStep` whenever nothing is left to do at a time. */
  async pass(durationMs: number, onStep: () => void): Promise<void> {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      await settle();
      onStep();
      const next = this.#takeBefore(endMs);
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = endMs;
  }

  #takeBefore(endMs: number): Timer | undefined {
    while (this.#timers.length > 0 && this.#timers[0]!.atMs <= endMs) {
      const next = this.#timers.shift()!;
      if (!next.isCleared && next.actor?.isDead !== true) return next;
    }
    return undefined;
  }
}

/** Waits until nothing can go on before time passes. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    await nextTurn();
    if (process.getActiveResourcesInfo().some((name) => /^(FSReq|Immediate)/.test(name))) quiet = -1;
  }
}
