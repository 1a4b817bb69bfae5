/**
 * What the tables are called.
 *
 * schema.sql and every statement use the plain names of a queue's own file. In a service's database, the
 * tables of its outbox stand beside the service's, which may well have an `event` or a `queue`.
 *
 * @module
 */

/** The tables and triggers of schema.sql, and nothing that only begins or ends like them. */
const NAMES = /\b(?:event|queue|lease|refused_put|dead_letter(?:_added|_removed)?)\b/g;

/** What the name of each table of an outbox begins with. */
export const OUTBOX_PREFIX = "eventspool_";

/** A statement for the tables of an outbox: `FROM event` becomes `FROM eventspool_event`. */
export function inOutbox(sql: string): string {
  return sql.replace(NAMES, `${OUTBOX_PREFIX}$&`);
}
