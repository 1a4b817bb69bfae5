/**
 * Time that passes only when nothing else is left to do, for Node: all that asks for the time or waits for it, whichever
 * module it takes that from, gets this time. Nothing else is asynchronous, not even a sync of the disk, so that a seed
 * always shows the same.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import timers, { setImmediate as afterThisTurn } from "node:timers";
import timersPromises from "node:timers/promises";
import { type Random, randomFrom } from "../power/recorded_disk.ts";

/** When the simulation begins, in Unix milliseconds. */
const BEGIN_MS = Date.UTC(2026, 0, 1);

/** How often an idle publisher checks for events, in milliseconds. A poll is known by this number, which nothing else has. */
export const POLL_MS = 997;

/** How often an idle consumer in the process of a service does, in milliseconds. */
const CONSUMER_POLL_MS = 1_000;

/** How long a sleep for a lock takes, in milliseconds: a hundred times what it is, since each costs an attempt. */
const LOCK_SLEEP_MS = 20;

/** How long it takes to look at the clock, in milliseconds. Who spins for a lock would do so for ever, else. */
const CLOCK_LOOK_MS = 0.001;

/** The longest pause between two steps of a work that is under way, in milliseconds. */
const BREATH_MS = 1;

/**
 * Checks that are made again and again although nothing happens become rare: the next one comes after so many times as
 * long as nothing has happened, and at the latest after three hours. Once something happens, they are as frequent as ever.
 */
const IDLE_FACTOR = 7;
const MAX_IDLE_MS = 3 * 3_600_000;

/** Which share of the checks without a hurry (the lag, the -wal, the ballast) notice at once that something happens. */
const ALERT_SHARE = 0.05;

/** Whose timers they are. Those of an actor that is killed never end. */
export interface Actor {
  readonly name: string;
  isDead: boolean;
}

/** A timer. */
class Timer {
  atMs: number;
  readonly actor: Actor | undefined;
  readonly run: () => void;
  /** How long it waits if something happens, in milliseconds; undefined: it does not notice. */
  readonly checkMs: number | undefined;
  readonly #clear: (timer: Timer) => void;

  constructor(
    { atMs, actor, run, checkMs }: Pick<Timer, "atMs" | "actor" | "run" | "checkMs">,
    clear: (timer: Timer) => void,
  ) {
    this.atMs = atMs;
    this.actor = actor;
    this.run = run;
    this.checkMs = checkMs;
    this.#clear = clear;
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
    this.#clear(this);
  }
}

interface Watch {
  readonly actor: Actor | undefined;
  readonly onWrite: () => void;
}

const actors = new AsyncLocalStorage<Actor | undefined>();

/** The time of the process, once {@link SimulatedTime.install} was called. */
export class SimulatedTime {
  /** A time that no clock change sets back, in milliseconds since the begin. */
  nowMs = 0;
  /** How much the wall clock is ahead of it, in milliseconds. */
  clockErrorMs = 0;
  /** Decides all that is random, also in the code under test. */
  random: Random = randomFrom(0);
  /** When something happens by time alone, in milliseconds since the begin: an idle publisher polls then. */
  nextChangeAtMs: () => number = () => Number.POSITIVE_INFINITY;
  #timers: Timer[] = [];
  #watches: Watch[] = [];
  #happenedAtMs = 0;

  /** Begins anew, at the first moment and without a timer. */
  begin(random: Random): void {
    this.random = random;
    this.nowMs = 0;
    this.clockErrorMs = 0;
    this.#happenedAtMs = 0;
    this.#timers = [];
    this.#watches = [];
  }

  /** Replaces the clocks, the timers and the syncs of the process. */
  install(): void {
    this.#installTimers();
    this.#installDisk();
    Date.now = () => Math.floor(BEGIN_MS + this.nowMs + this.clockErrorMs);
    performance.now = () => {
      this.nowMs += CLOCK_LOOK_MS;
      return this.nowMs;
    };
    Atomics.wait = () => {
      this.nowMs += LOCK_SLEEP_MS;
      return "timed-out";
    };
    Math.random = () => this.random();
    syncBuiltinESMExports();
  }

  #installTimers(): void {
    const set = (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]): Timer => {
      const resume = () => run(...args);
      if (isPoll(delayMs)) return this.#check(delayMs, resume);
      return this.after(Math.max(1, Math.trunc(delayMs)), resume); // as Node does
    };
    const repeat = (run: () => void, delayMs = 0): Timer => {
      const timer = this.#check(delayMs, () => {
        run();
        const next = repeat(run, delayMs);
        timer[Symbol.dispose] = () => next[Symbol.dispose]();
      });
      return timer;
    };
    const clear = (timer: Timer | undefined): void => timer?.[Symbol.dispose]();
    const all = { setTimeout: set, setInterval: repeat, clearTimeout: clear, clearInterval: clear };
    Object.assign(globalThis, all);
    Object.assign(timers, all);
    const pause = <T>(delayMs = 0, value?: T, options?: { signal?: AbortSignal }): Promise<T> => {
      // No checks: a backoff, which is random, and a breath between two steps of a work.
      const start = (run: () => void): Timer =>
        Number.isInteger(delayMs) && delayMs > BREATH_MS
          ? this.#check(delayMs, run)
          : this.after(delayMs, run);
      return this.#wait(start, options?.signal).then(() => value as T);
    };
    const nextTurn = <T>(value?: T): Promise<T> => this.sleep(0).then(() => value as T);
    Object.assign(timersPromises, { setTimeout: pause, setImmediate: nextTurn });
  }

  /** Syncs take simulated time: a slow disk must break nothing. What a power cut takes is tested elsewhere. */
  #installDisk(): void {
    const syncMs = (): number => (this.random() < 0.02 ? this.random() * 3_000 : this.random() * 5);
    const datasync = (_file: number, done: (error: null) => void) =>
      void this.after(syncMs(), () => done(null));
    const open = async () => ({
      datasync: () => this.sleep(syncMs()),
      [Symbol.asyncDispose]: async () => {},
    });
    const watch = (_path: string, _options: unknown, onWrite: () => void) => {
      const added: Watch = { actor: actors.getStore(), onWrite };
      this.#watches.push(added);
      const close = () => {
        this.#watches = this.#watches.filter((other) => other !== added);
      };
      return { on: () => {}, close };
    };
    Object.assign(fs, { fdatasync: datasync, watch });
    Object.assign(fsPromises, { open });
  }

  /** Runs something on behalf of an actor, with all that it starts. */
  as<T>(actor: Actor, run: () => T): T {
    return actors.run(actor, run);
  }

  /** Calls back after a while. */
  after(delayMs: number, run: () => void): Timer {
    return this.#add(delayMs, run);
  }

  /** Resolves after a while. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return this.#wait((run) => this.after(delayMs, run), signal);
  }

  /** Something has happened: who polls looks soon. */
  happened(): void {
    this.#happenedAtMs = this.nowMs;
    this.#hasten(({ checkMs = Number.POSITIVE_INFINITY }) =>
      isPoll(checkMs) || this.random() < ALERT_SHARE ? this.nowMs + checkMs : Number.POSITIVE_INFINITY,
    );
  }

  /** A publisher has written something: who polls looks when a lease expires. */
  committed(): void {
    const changeAtMs = this.nextChangeAtMs();
    this.#hasten(({ checkMs = 0 }) =>
      isPoll(checkMs) ? Math.max(changeAtMs, this.nowMs + POLL_MS) : Number.POSITIVE_INFINITY,
    );
  }

  #hasten(toMs: (timer: Timer) => number): void {
    let isSorted = true;
    for (const timer of this.#timers) {
      const atMs = toMs(timer);
      if (atMs >= timer.atMs) continue;
      timer.atMs = atMs;
      isSorted = false;
    }
    if (!isSorted) this.#timers.sort((a, b) => a.atMs - b.atMs);
  }

  /** Tells those who watch a file that something was written, or some of them: a poll must do for the others. */
  written(share: number): void {
    for (const { actor, onWrite } of this.#watches)
      if (actor?.isDead !== true && this.random() < share) this.#add(0.2 + this.random(), onWrite, { actor });
  }

  /** Lets time pass, from one timer to the next, and calls `onStep` after each with the actor whose timer it was. */
  async pass(durationMs: number, onStep: (actor: Actor | undefined) => void): Promise<void> {
    const endMs = this.nowMs + durationMs;
    for (let actor: Actor | undefined; ; ) {
      await allElse();
      onStep(actor);
      const next = this.#takeBefore(endMs);
      if (next === undefined) break;
      actor = next.actor;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      actors.run(actor, next.run);
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  #wait(start: (run: () => void) => Timer, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        timer[Symbol.dispose]();
        reject(signal?.reason);
      };
      const timer = start(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #check(delayMs: number, run: () => void): Timer {
    const idleMs = Math.min(MAX_IDLE_MS, IDLE_FACTOR * (this.nowMs - this.#happenedAtMs));
    const changeInMs = isPoll(delayMs) ? this.nextChangeAtMs() - this.nowMs : Number.POSITIVE_INFINITY;
    return this.#add(Math.max(delayMs, Math.min(idleMs, changeInMs)), run, { checkMs: delayMs });
  }

  #add(
    delayMs: number,
    run: () => void,
    { actor = actors.getStore(), checkMs }: { actor?: Actor | undefined; checkMs?: number } = {},
  ): Timer {
    const timer = new Timer({ atMs: this.nowMs + delayMs, actor, run, checkMs }, this.#clear);
    // Behind those that are due at the same time.
    let at = this.#timers.length;
    while (at > 0 && this.#timers[at - 1]!.atMs > timer.atMs) at--;
    this.#timers.splice(at, 0, timer);
    return timer;
  }

  readonly #clear = (timer: Timer): void => {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  };

  #takeBefore(endMs: number): Timer | undefined {
    while (this.#timers.length > 0 && this.#timers[0]!.atMs <= endMs) {
      const next = this.#timers.shift()!;
      if (next.actor?.isDead !== true) return next;
    }
    return undefined;
  }
}

/** Whether a timer is that of somebody idle. */
function isPoll(delayMs: number): boolean {
  return delayMs === POLL_MS || delayMs === CONSUMER_POLL_MS;
}

/** Promises go on before the next turn of the event loop. */
function allElse(): Promise<void> {
  return new Promise((resolve) => void afterThisTurn(resolve));
}
