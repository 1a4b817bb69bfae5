import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { EventQueue } from "../../src/mod.ts";
import type { Child } from "./children.ts";

/** How a host's events reach the stream. */
export type Way = "collectors" | "JetStream";

/** A host: its queue, the service that puts, and the publisher. */
export class Host implements Disposable {
  readonly name: string;
  readonly way: Way;
  readonly directory: string;
  /** How many puts have returned, as the service reports. */
  put = 0;
  /** The running publisher, if there is one. */
  publisher: Child | undefined;
  readonly #queue: EventQueue<Uint8Array>;

  /** @param parent the directory for its directory */
  constructor(name: string, way: Way, parent: string) {
    const directory = join(parent, name);
    mkdirSync(directory, { mode: 0o700 });
    this.name = name;
    this.way = way;
    this.directory = directory;
    this.#queue = new EventQueue("main", (event: Uint8Array) => event, { directory }); // only to see its depth
  }

  /** How many events wait or are in flight. */
  get depth(): number {
    return this.#queue.depth();
  }

  /** Counts the puts that its service reports. */
  follow(service: Child): void {
    service.onLine((line) => {
      this.put = Number(/^put (\d+)$/.exec(line)?.[1] ?? this.put);
    });
  }

  /** Ends its publisher with SIGKILL. Resolves with the number of events in the queue just before. */
  async killPublisher(): Promise<number> {
    const { depth } = this;
    await this.publisher?.kill();
    this.publisher = undefined;
    return depth;
  }

  [Symbol.dispose](): void {
    this.#queue.close();
  }
}
