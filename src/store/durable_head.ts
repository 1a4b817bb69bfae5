/**
 * Knowing which events survive a power cut.
 *
 * @module
 */
import type { EventTable } from "./event_table.ts";
import { SharedSync } from "./shared_sync.ts";

/**
 * Sees to it that an event survives a power cut before it is sent. Ids name events for ever: if the disk forgot
 * one that the collector has, its id would be given to another event, and a collector that drops what it has seen
 * would drop that one. An event that was put before the last sync costs nothing, so there is one sync a request at
 * most, and none while a full queue is drained.
 */
export class DurableHead {
  readonly #events: Pick<EventTable, "counters">;
  readonly #sync: SharedSync;
  #durableId = 0;

  /** @param path the queue file */
  constructor(path: string, events: Pick<EventTable, "counters">) {
    this.#events = events;
    this.#sync = new SharedSync(path);
  }

  /** Resolves when the event with this id, and all before it, survive a power cut. @throws {EventStorageError} as a rejection */
  async reach(id: number): Promise<void> {
    if (id <= this.#durableId) return;
    const { head } = this.#events.counters(); // committed by now, and so taken by a sync that begins later
    await this.#sync.sync();
    this.#durableId = Math.max(this.#durableId, head);
  }

  /** Lets go of the -wal when what is on its way has ended. */
  async close(): Promise<void> {
    await this.#sync.close();
  }
}
