/** The epochs of a queue: the UUIDs of its events in `Event-Ids`. */
import { beginEpoch, type Epoch } from "./identity.ts";
import type { QueueFile } from "./queue_file.ts";

/** How long a rollback is reported, in milliseconds: a day, so that somebody sees it. */
export const ROLLED_BACK_WARNING_MS = 86_400_000;

/** The epochs of a queue. */
export class EpochTable {
  readonly #file: QueueFile;
  readonly #sql;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#sql = {
      uuid: file.prepareFirst<[number], string>(UUID_AT),
      next: file.prepareFirst<[number], number | null>(
        "SELECT min(first_id) FROM eventspool_epoch WHERE first_id > ?",
      ),
      movedAfter: file.prepareFirst<[number], number>(
        "SELECT EXISTS (SELECT 1 FROM eventspool_epoch WHERE first_id > ? AND reason = 'moved')",
      ),
      list: file.prepare<[], Epoch>(
        `SELECT first_id AS firstId, uuid, reason, began_at_ms AS beganAtMs
         FROM eventspool_epoch ORDER BY first_id`,
      ),
    };
  }

  /** The UUID that names an event. */
  uuidAt(id: number): string {
    return this.#file.run(() => this.#sql.uuid.get(id)) as string;
  }

  /** The last id of the epoch of an event; a very large one in the current epoch. */
  lastIdFrom(id: number): number {
    const next = this.#file.run(() => this.#sql.next.get(id));
    return next == null ? Number.MAX_SAFE_INTEGER : next - 1;
  }

  /** Those that have events, and the newest of those without, by their first ids. */
  list(): Epoch[] {
    return this.#file.run(() => this.#sql.list.all());
  }

  /**
   * Begins a new epoch with an event that the destination has though it was never sent. Not where that was done since it
   * was sent, nor for an event from before the file was moved: the original had the same event, and may have sent it.
   * Returns whether it began one.
   *
   * @param sentUuid the UUID under which the event was sent @throws {EventStorageError}
   */
  rolledBack(firstId: number, sentUuid: string): boolean {
    return this.#file.transaction(() => {
      if (this.#sql.uuid.get(firstId) !== sentUuid || this.#sql.movedAfter.get(firstId) === 1) return false;
      beginEpoch(this.#file.db, firstId, "rolled_back");
      return true;
    });
  }
}

const UUID_AT = "SELECT uuid FROM eventspool_epoch WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1";
