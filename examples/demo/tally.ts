/** Counts the events of hosts in a stream, by the uuid from their services: `host-1-17`. */
export class Tally {
  readonly #seen = new Map<string, Uint8Array>();
  #twice = 0;
  #strange = 0;

  /** @param put how many events each host has put */
  constructor(put: ReadonlyMap<string, number>) {
    for (const [host, count] of put) this.#seen.set(host, new Uint8Array(count));
  }

  /** Counts an event from the wire: field 5 is the uuid, see examples/thrift/event.thrift. */
  add(text: string): void {
    const uuid = (JSON.parse(text) as { "5": { str: string } })["5"].str;
    const dash = uuid.lastIndexOf("-");
    const seen = this.#seen.get(uuid.slice(0, dash));
    const index = Number(uuid.slice(dash + 1));
    if (seen === undefined || index >= seen.length) this.#strange++;
    else if (seen[index] === 1) this.#twice++;
    else seen[index] = 1;
  }

  /** How many were put and did not arrive. */
  get lost(): number {
    let lost = 0;
    for (const seen of this.#seen.values()) for (const mark of seen) if (mark === 0) lost++;
    return lost;
  }

  /** How many arrived again. */
  get twice(): number {
    return this.#twice;
  }

  /** How many arrived that no service reported as put. */
  get strange(): number {
    return this.#strange;
  }
}
