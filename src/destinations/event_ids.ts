/**
 * The header that names the rows of a request.
 *
 * @module
 */

/** The header's name. */
export const EVENT_IDS_HEADER = "Event-Ids";

/**
 * `QUEUE_UUID:101-350`, or `QUEUE_UUID:101` for one event: the queue file's UUID and its row ids. It says
 * the same of the same rows on every retry, however they are batched again, so a collector can drop
 * duplicates event by event. The grammar allows several ranges, with commas between them.
 */
export function formatEventIds(queueUuid: string, firstId: number, lastId: number): string {
  return `${queueUuid}:${firstId === lastId ? firstId : `${firstId}-${lastId}`}`;
}
