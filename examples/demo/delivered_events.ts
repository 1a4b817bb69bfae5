import { closeSync, openSync, readSync } from "node:fs";

const CHUNK_BYTES = 65_536;

/** The events in a collector's file, counted by their uuid as the file grows. */
export class DeliveredEvents implements Disposable {
  readonly #file: number;
  readonly #uuids = new Set<string>();
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #rest = "";
  #total = 0;

  /** @param path the collector's output, created if it is missing */
  constructor(path: string) {
    this.#file = openSync(path, "a+");
  }

  /** How many different events there are. */
  get distinct(): number {
    return this.#uuids.size;
  }

  /** How many events arrived again. */
  get duplicates(): number {
    return this.#total - this.#uuids.size;
  }

  has(uuid: string): boolean {
    return this.#uuids.has(uuid);
  }

  /** Reads what was appended since the last call. */
  update(): this {
    for (;;) {
      const size = readSync(this.#file, this.#chunk);
      if (size === 0) return this;
      const lines = (this.#rest + this.#chunk.toString("latin1", 0, size)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#add(line);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #add(line: string): void {
    const event = JSON.parse(line) as { uuid: string };
    this.#uuids.add(event.uuid);
    this.#total++;
  }
}
