/** All that the page shows, at one moment. */
import { dirname, join } from "node:path";
import { ownStatus, type PublisherStatus } from "../../publisher/health.ts";
import type { Publisher } from "../../publisher/publisher.ts";
import type { DeadLetterGroup, DeadLetterSummary } from "../../storage/dead_letters.ts";
import { lookAtQueue, type QueueLook, queuesIn } from "../../storage/queue_directory.ts";
import { type DepthSample, History, type Rates, toSample } from "./charts.ts";

/** How many dead letters, or groups of them, the dashboard shows on a page. */
export const DASHBOARD_DEAD_LETTERS = 20;

/** How many of the newest dead letters are grouped by reason: reading 10,000 takes about 20 ms. */
const GROUPED_DEAD_LETTERS = 10_000;

/** How many queues of the directory the dashboard shows: each is opened to look into it. */
const DASHBOARD_QUEUES = 50;

/** What the page needs of a publisher. */
export type WatchedPublisher = Pick<
  Publisher,
  "queue" | "file" | "subscription" | "status" | "deadLetters" | "stopSignal"
>;

/** A queue of the directory. */
export interface QueueRow {
  readonly queue: string;
  readonly look: QueueLook;
}

/** The queues of the directory, as far as they are shown. */
export interface QueueRows {
  readonly rows: readonly QueueRow[];
  /** How many others there are. */
  readonly moreCount: number;
}

/** All that the page shows. */
export interface Snapshot {
  /** In Unix milliseconds. */
  readonly atMs: number;
  readonly status: PublisherStatus;
  /** Undefined while nothing is known yet. */
  readonly rates: Rates | undefined;
  readonly samples: readonly DepthSample[];
  /** A page of single dead letters, the newest event first; empty where there are groups. */
  readonly letters: readonly DeadLetterSummary[];
  /** All groups of dead letters, the largest first; empty where there are single ones. */
  readonly groups: readonly DeadLetterGroup[];
  readonly queues: QueueRows;
}

/** How often the other queues are looked at, in milliseconds. */
const LOOK_EVERY_MS = 5_000;

/** Looking at them takes at most one part in so many of the publisher's time. */
const LOOK_SHARE = 100;

/** How long the publisher waits for another queue's file, in milliseconds. */
const LOOK_TIMEOUT_MS = 20;

/** Watches a publisher, and reports its state. */
export class Watch {
  readonly #publisher: WatchedPublisher;
  readonly #history: History;
  readonly #queues: NeighbourQueues;
  #groups: readonly DeadLetterGroup[] = [];
  /** What the groups were made of; they are made again only when it has changed. */
  #groupedFrom = "";

  constructor(publisher: WatchedPublisher) {
    this.#publisher = publisher;
    this.#history = History.of(() => ownStatus(publisher.status()), publisher.stopSignal);
    this.#queues = new NeighbourQueues(publisher);
  }

  /**
   * How it is now, with dead letters by reason.
   *
   * @param beforeId instead: single dead letters with a lower id @throws {EventStorageError} the file cannot be read
   */
  snapshot(beforeId?: number): Snapshot {
    const whole = this.#publisher.status();
    const status = ownStatus(whole);
    const isGrouped = beforeId === undefined;
    return {
      atMs: Date.now(),
      status,
      rates: this.#history.ratesUntil(toSample(status)),
      samples: this.#history.samples,
      letters: isGrouped ? [] : this.#publisher.deadLetters.list({ limit: DASHBOARD_DEAD_LETTERS, beforeId }),
      groups: isGrouped ? this.#groupsOf(status) : [],
      queues: this.#queues.rows(whole),
    };
  }

  #groupsOf({
    state: { deadLetters, deadLetterBytes, droppedDeadLetters },
  }: PublisherStatus): readonly DeadLetterGroup[] {
    const [newest] = this.#publisher.deadLetters.list({ limit: 1 });
    const from = JSON.stringify([deadLetters, deadLetterBytes, droppedDeadLetters, newest?.id]);
    if (from !== this.#groupedFrom) this.#groups = this.#publisher.deadLetters.groups(GROUPED_DEAD_LETTERS);
    this.#groupedFrom = from;
    return this.#groups;
  }
}

/** The other queues of the directory; looked at only while a page is open. */
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
      return []; // this queue is shown anyway, and its health says what is wrong
    }
  }
}
