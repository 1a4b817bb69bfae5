/** Simulated time. */

type Work = (nowMs: number) => void;

interface Entry {
  readonly atMs: number;
  readonly work: Work;
  readonly owner: object | undefined;
}

/** Runs actions in the order of their times, with a binary heap. */
export class Timeline {
  readonly #heap: Entry[] = [];
  /** An owner's earliest entry is the only one that counts, so that a step that is planned twice is done once. */
  readonly #next = new Map<object, number>();

  /** Plans something. @param owner who has no more than one thing planned, the earliest */
  at(atMs: number, work: Work, owner?: object): void {
    if (owner !== undefined) {
      if ((this.#next.get(owner) ?? Number.POSITIVE_INFINITY) <= atMs) return;
      this.#next.set(owner, atMs);
    }
    this.#heap.push({ atMs, work, owner });
    this.#up(this.#heap.length - 1);
  }

  /** Does all that is planned, and what that plans, up to a time. */
  run(untilMs: number): void {
    for (let entry = this.#pop(); entry !== undefined && entry.atMs < untilMs; entry = this.#pop()) {
      if (entry.owner !== undefined) {
        if (this.#next.get(entry.owner) !== entry.atMs) continue;
        this.#next.delete(entry.owner);
      }
      entry.work(entry.atMs);
    }
  }

  #pop(): Entry | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (this.#heap.length > 0 && last !== undefined) {
      this.#heap[0] = last;
      this.#down(0);
    }
    return first;
  }

  #up(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (this.#atMs(parent) <= this.#atMs(child)) return;
      this.#swap(parent, child);
      child = parent;
    }
  }

  #down(start: number): void {
    let parent = start;
    for (;;) {
      const left = 2 * parent + 1;
      const child = this.#atMs(left + 1) < this.#atMs(left) ? left + 1 : left;
      if (this.#atMs(parent) <= this.#atMs(child)) return;
      this.#swap(parent, child);
      parent = child;
    }
  }

  #atMs(index: number): number {
    return this.#heap[index]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    [this.#heap[a], this.#heap[b]] = [this.#heap[b] as Entry, this.#heap[a] as Entry];
  }
}
