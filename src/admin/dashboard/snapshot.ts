/**
 * All that the page tells, at one moment.
 *
 * @module
 */
import { dirname, join } from "node:path";
import type { PublisherStatus } from "../../publisher/health.ts";
import type { Publisher } from "../../publisher/publisher.ts";
import type { DeadLetterSummary } from "../../storage/dead_letters.ts";
import { lookAtQueue, type QueueLook, queuesIn } from "../../storage/queue_directory.ts";
import { type DepthSample, History, type Rates, toSample } from "./history.ts";

/** How many dead letters the dashboard shows on a page. */
export const DASHBOARD_DEAD_LETTERS = 20;

/** How many queues of the directory the dashboard shows: each is opened to look into it. */
const DASHBOARD_QUEUES = 50;

/** What the page needs of a publisher. */
export type WatchedPublisher = Pick<Publisher, "queue" | "file" | "status" | "deadLetters" | "stopSignal">;

/** A queue of the directory. */
export interface QueueRow {
  readonly queue: string;
  readonly look: QueueLook;
}

/** The queues of the directory, as far as they are shown. */
export interface QueueRows {
  readonly rows: readonly QueueRow[];
  /** How many there are besides. */
  readonly moreCount: number;
}

/** All that the page tells. */
export interface Snapshot {
  /** In Unix milliseconds. */
  readonly atMs: number;
  readonly status: PublisherStatus;
  /** Undefined while nothing is known yet. */
  readonly rates: Rates | undefined;
  readonly samples: readonly DepthSample[];
  readonly letters: readonly DeadLetterSummary[];
  readonly queues: QueueRows;
}

/** How long a look at the other queues holds, in milliseconds. */
const LOOK_EVERY_MS = 5_000;

/** A look at them takes at most one part in so many of the publisher's time, however many there are. */
const LOOK_SHARE = 100;

/** How long the publisher waits for another queue's file, in milliseconds. */
const LOOK_TIMEOUT_MS = 20;

/** Watches a publisher, and says how it is. */
export class Watch {
  readonly #publisher: WatchedPublisher;
  readonly #history: History;
  readonly #queues: NeighbourQueues;

  constructor(publisher: WatchedPublisher) {
    this.#publisher = publisher;
    this.#history = History.of(() => publisher.status(), publisher.stopSignal);
    this.#queues = new NeighbourQueues(publisher);
  }

  /** How it is now. @param beforeId dead letters older than this one @throws {EventStorageError} the file cannot be read */
  snapshot(beforeId?: number): Snapshot {
    const status = this.#publisher.status();
    const range = { limit: DASHBOARD_DEAD_LETTERS, ...(beforeId !== undefined && { beforeId }) };
    return {
      atMs: Date.now(),
      status,
      rates: this.#history.ratesUntil(toSample(status)),
      samples: this.#history.samples,
      letters: this.#publisher.deadLetters.list(range),
      queues: this.#queues.rows(status),
    };
  }
}

/** The queues beside ours; looked at only while somebody looks at the page. */
class NeighbourQueues {
  readonly #directory: string;
  #looks: ReadonlyMap<string, QueueLook> = new Map();
  #moreCount = 0;
  #nextLookAtMs = Number.NEGATIVE_INFINITY;

  constructor({ file }: WatchedPublisher) {
    this.#directory = dirname(file);
  }

  rows({ queue: own, state }: PublisherStatus): QueueRows {
    if (performance.now() >= this.#nextLookAtMs) this.#look(own);
    const others = [...this.#looks].map(([queue, look]): QueueRow => ({ queue, look }));
    const rows = [...others, { queue: own, look: { state } }];
    return { rows: rows.sort((a, b) => (a.queue < b.queue ? -1 : 1)), moreCount: this.#moreCount };
  }

  #look(own: string): void {
    const startedAtMs = performance.now();
    const names = this.#names().filter((name) => name !== own);
    const shown = names.slice(0, DASHBOARD_QUEUES - 1);
    this.#moreCount = names.length - shown.length;
    this.#looks = new Map(
      shown.map((name) => [name, lookAtQueue(join(this.#directory, `events-${name}.db`), LOOK_TIMEOUT_MS)]),
    );
    const endedAtMs = performance.now();
    this.#nextLookAtMs = endedAtMs + Math.max(LOOK_EVERY_MS, LOOK_SHARE * (endedAtMs - startedAtMs));
  }

  #names(): string[] {
    try {
      return queuesIn(this.#directory);
    } catch {
      return []; // ours is told of all the same, and its health says what is wrong
    }
  }
}
