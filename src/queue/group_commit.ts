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

/**
 * How many events share a commit at most: 0.2 ms, as long as a put that waits for the disk. Then the event loop
 * has its turn; larger groups are hardly faster.
 */
const MAX_GROUP_EVENTS = 100;

/** Where a group is stored. */
export interface GroupStore {
  /** Stores bodies in one transaction, in order, as far as they fit, and returns how many did. */
  putWhatFits(bodies: readonly Uint8Array[]): number;
  /** Resolves when what was stored is as safe as asked for; undefined: it is already. */
  sync(): Promise<void> | undefined;
  /** The error of a put that did not fit. */
  full(): Error;
  /** Told of bodies that were not stored, or may not be as safe as asked for. */
  onRejected(error: unknown, count: number): void;
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
    if (inGroup === 1) setImmediate(this.#turn);
    return promise;
  }

  /** Commits all that has gathered. */
  flush(): void {
    while (this.#waiting.length > 0) this.#commit();
  }

  readonly #turn = (): void => {
    this.#commit();
    if (this.#waiting.length > 0) setImmediate(this.#turn);
  };

  #commit(): void {
    const group = this.#waiting.splice(0, MAX_GROUP_EVENTS);
    if (group.length === 0) return; // closed meanwhile
    try {
      const stored = this.#store.putWhatFits(group.map(({ body }) => body));
      if (stored < group.length) this.#reject(group.splice(stored), this.#store.full());
      this.#resolve(group, this.#store.sync());
    } catch (error) {
      this.#reject(group, error);
    }
  }

  #resolve(group: readonly WaitingPut[], synced: Promise<void> | undefined): void {
    const resolve = () => {
      for (const { resolve } of group) resolve();
    };
    if (synced === undefined) resolve();
    else synced.then(resolve, (error) => this.#reject(group, error));
  }

  #reject(group: readonly WaitingPut[], error: unknown): void {
    this.#store.onRejected(error, group.length);
    for (const { reject } of group) reject(error);
  }
}
