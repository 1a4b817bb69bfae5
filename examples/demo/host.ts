import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { EventQueue } from "../../src/mod.ts";
import type { Child } from "./children.ts";

/** Which way a host's events go to the stream. */
export type Way = "collectors" | "JetStream";

/** A host: its queue, the service that puts, the publisher that takes the events away. */
export class Host implements Disposable {
  readonly name: string;
  readonly way: Way;
  readonly directory: string;
  /** How many puts have returned, as the service said. */
  put = 0;
  /** The one that runs; undefined: none does. */
  publisher: Child | undefined;
  readonly #queue: EventQueue<Uint8Array>;

  /** @param parent where its directory is made */
  constructor(name: string, way: Way, parent: string) {
    const directory = join(parent, name);
    mkdirSync(directory, { mode: 0o700 });
    this.name = name;
    this.way = way;
    this.directory = directory;
    this.#queue = new EventQueue("main", (event: Uint8Array) => event, { directory }); // only to see its depth
  }

  /** How many events wait, or are on their way. */
  get depth(): number {
    return this.#queue.depth();
  }

  /** Counts what its service says. */
  follow(service: Child): void {
    service.onLine((line) => {
      this.put = Number(/^put (\d+)$/.exec(line)?.[1] ?? this.put);
    });
  }

  /** Ends its publisher as kill -9 does. Resolves with how many events were in the queue just before. */
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
