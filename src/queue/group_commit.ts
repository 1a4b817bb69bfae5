/**
 * Puts that share a commit.
 *
 * @module
 */

/** One put that waits for its group's commit. */
interface WaitingPut {
  readonly body: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Where a group is stored. */
export interface GroupStore {
  /** Stores bodies in one transaction, in order, as far as they fit, and returns how many did. */
  putWhatFits(bodies: readonly Uint8Array[]): number;
  /** The error of a put that did not fit. */
  full(): Error;
}

/** Gathers the puts of one turn of the event loop and commits them together, at its end. */
export class GroupCommit {
  readonly #store: GroupStore;
  #waiting: WaitingPut[] = [];

  constructor(store: GroupStore) {
    this.#store = store;
  }

  /** Resolves when the body is committed; rejects when it is not stored. */
  add(body: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const inGroup = this.#waiting.push({ body, resolve, reject });
    if (inGroup === 1) setImmediate(() => this.flush());
    return promise;
  }

  /** Commits what has gathered. */
  flush(): void {
    const group = this.#waiting;
    if (group.length === 0) return;
    this.#waiting = [];
    try {
      const stored = this.#store.putWhatFits(group.map(({ body }) => body));
      for (const { resolve } of group.slice(0, stored)) resolve();
      for (const { reject } of group.slice(stored)) reject(this.#store.full());
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
