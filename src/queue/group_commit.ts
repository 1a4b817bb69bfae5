/** Puts that share a commit. */
import { setImmediate, setTimeout } from "node:timers";
import { isBusy } from "../storage/lock_wait.ts";

/** One put that waits for its group's commit. */
interface WaitingPut {
  readonly body: Uint8Array;
  /** Until when it waits, as a monotonic time, once the file was found locked: the event loop may come late. */
  deadlineMs: number | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * How many events share a commit at most: 0.2 ms, as long as a put that waits for the disk. Then the event loop
 * has its turn; larger groups are hardly faster.
 */
const MAX_GROUP_EVENTS = 100;

/**
 * How much may wait in memory, in bytes of bodies and of {@link PUT_BYTES} each. While the file's lock was held,
 * 300,000 puts took 420 MB.
 */
const MAX_WAITING_BYTES = 67_108_864;

/** About what a put that waits takes in addition to its body, in bytes: 600 on Bun, 1,100 on Node. */
const PUT_BYTES = 1_024;

/** How soon a commit that found the file locked is tried again, in milliseconds. */
const RETRY_MS = 5;

/** Where a group is stored. */
export interface GroupStore {
  /**
   * Stores bodies in one transaction, in order, as far as they fit, and returns how many did.
   *
   * @param busyTimeoutMs how long to wait for the file's lock; undefined: as long as put does
   */
  putWhatFits(bodies: readonly Uint8Array[], busyTimeoutMs: number | undefined): number;
  /** Resolves when what was stored is as safe as asked for; undefined: it is already. */
  sync(): Promise<void> | undefined;
  /** How many more events fit into the queue. */
  room(): number;
  /** The error of a put that does not fit. @param waiting how many others are yet to be stored */
  full(waiting: number): Error;
  /** The error of a put when too much waits, in bytes. */
  tooLarge(sizeBytes: number, limitBytes: number): Error;
  /** Is called for bodies that were not stored, or may not be as safe as asked for. */
  onRejected(error: unknown, count: number): void;
}

/** Collects the puts of one tick of the event loop and commits them together, at its end. */
export class GroupCommit {
  readonly #store: GroupStore;
  readonly #busyTimeoutMs: number;
  #waiting: WaitingPut[] = [];
  #waitingBytes = 0;
  /** How many events fitted when that was last looked at, and those that wait were not stored. */
  #room = 0;
  /** Of a put that had no room: shared by all others of this turn, since an error with its stack takes 1 KB. */
  #noRoom: Error | undefined;

  /** @param busyTimeoutMs how long a put waits while the file is locked, in milliseconds */
  constructor(store: GroupStore, busyTimeoutMs: number) {
    this.#store = store;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** Resolves when the body is committed; rejects when it is not stored. @throws there is no room for it */
  add(body: Uint8Array): Promise<void> {
    this.#makeRoom(body);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const count = this.#waiting.push({ body, deadlineMs: undefined, resolve, reject });
    if (count === 1) setImmediate(this.#turn);
    return promise;
  }

  /** Commits all that has gathered; where the file is locked it waits as put does. */
  flush(): void {
    while (this.#waiting.length > 0) this.#commit(undefined);
  }

  /** Counts the body as waiting. Whether the queue has room in the end, SQLite decides. */
  #makeRoom(body: Uint8Array): void {
    const sizeBytes = this.#waitingBytes + body.length + PUT_BYTES;
    if (sizeBytes > MAX_WAITING_BYTES)
      throw this.#rejection(() => this.#store.tooLarge(this.#waitingBytes, MAX_WAITING_BYTES));
    if (this.#waiting.length >= this.#room) {
      this.#room = this.#store.room();
      if (this.#waiting.length >= this.#room)
        throw this.#rejection(() => this.#store.full(this.#waiting.length));
    }
    this.#waitingBytes = sizeBytes;
  }

  #rejection(make: () => Error): Error {
    if (this.#noRoom === undefined) {
      this.#noRoom = make();
      setImmediate(() => {
        this.#noRoom = undefined;
      });
    }
    return this.#noRoom;
  }

  readonly #turn = (): void => {
    const isDone = this.#commit(0);
    if (this.#waiting.length === 0) return;
    if (isDone) setImmediate(this.#turn);
    else setTimeout(this.#turn, RETRY_MS);
  };

  /** False: the file is locked, and the group still waits. */
  #commit(busyTimeoutMs: 0 | undefined): boolean {
    if (this.#waiting.length === 0) return true; // closed meanwhile
    const group = this.#take(MAX_GROUP_EVENTS);
    let stored: number;
    try {
      stored = this.#store.putWhatFits(
        group.map(({ body }) => body),
        busyTimeoutMs,
      );
    } catch (error) {
      if (busyTimeoutMs === 0 && isBusy(error)) {
        this.#putBack(group);
        this.#rejectOverdue(error);
        return false;
      }
      this.#reject(group, error);
      return true;
    }
    this.#room -= stored;
    const unfit = group.splice(stored);
    this.#resolve(group);
    if (unfit.length > 0) this.#rejectUnfit(unfit);
    return true;
  }

  #take(count: number): WaitingPut[] {
    const taken = this.#waiting.splice(0, count);
    this.#waitingBytes -= sizeOf(taken);
    return taken;
  }

  #putBack(group: readonly WaitingPut[]): void {
    this.#waiting.unshift(...group);
    this.#waitingBytes += sizeOf(group);
  }

  #rejectOverdue(error: unknown): void {
    const nowMs = performance.now();
    for (const put of this.#waiting) put.deadlineMs ??= nowMs + this.#busyTimeoutMs;
    const inTime = this.#waiting.findIndex(({ deadlineMs = 0 }) => deadlineMs > nowMs);
    const overdue = this.#take(inTime === -1 ? this.#waiting.length : inTime);
    if (overdue.length > 0) this.#reject(overdue, error);
  }

  #resolve(group: readonly WaitingPut[]): void {
    const resolve = () => {
      for (const { resolve } of group) resolve();
    };
    const synced = this.#store.sync();
    if (synced === undefined) resolve();
    else synced.then(resolve, (error) => this.#reject(group, error));
  }

  #rejectUnfit(group: readonly WaitingPut[]): void {
    try {
      this.#reject(group, this.#store.full(0));
    } catch (error) {
      this.#reject(group, error); // the queue cannot be read
    }
  }

  #reject(group: readonly WaitingPut[], error: unknown): void {
    this.#store.onRejected(error, group.length);
    for (const { reject } of group) reject(error);
  }
}

function sizeOf(puts: readonly WaitingPut[]): number {
  let bytes = 0;
  for (const put of puts) bytes += put.body.length + PUT_BYTES;
  return bytes;
}
