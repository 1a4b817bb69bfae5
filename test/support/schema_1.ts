import type { SqliteConnection } from "../../src/queue/outbox.ts";

/** The tables of version 1, before subscriptions. */
const SCHEMA = `
CREATE TABLE eventspool_schema (
  version INTEGER NOT NULL
) STRICT;
CREATE TABLE eventspool_event (
  id        INTEGER PRIMARY KEY CHECK (id > 0),
  put_at_ms INTEGER NOT NULL,
  body      BLOB    NOT NULL,
  trace     TEXT
) STRICT;
CREATE TABLE eventspool_queue (
  one           INTEGER PRIMARY KEY CHECK (one = 1),
  max_events    INTEGER NOT NULL DEFAULT 10000 CHECK (max_events > 0),
  batch_version TEXT CHECK (batch_version IN ('2', '2j')),
  claimed_id    INTEGER NOT NULL DEFAULT 0,
  removed_count INTEGER NOT NULL DEFAULT 0,
  dead_letter_count         INTEGER NOT NULL DEFAULT 0,
  dead_letter_bytes         INTEGER NOT NULL DEFAULT 0,
  dropped_dead_letter_count INTEGER NOT NULL DEFAULT 0,
  location      TEXT    NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE eventspool_epoch (
  first_id    INTEGER PRIMARY KEY,
  uuid        TEXT    NOT NULL,
  reason      TEXT    NOT NULL,
  began_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE eventspool_rejected_put (
  reason TEXT    PRIMARY KEY,
  count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE eventspool_lease (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  first_id      INTEGER NOT NULL,
  last_id       INTEGER NOT NULL,
  claimed_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  attempts      INTEGER NOT NULL,
  sends         INTEGER NOT NULL,
  CHECK (first_id <= last_id)
) STRICT;
CREATE TABLE eventspool_dead_letter (
  id         INTEGER PRIMARY KEY,
  put_at_ms  INTEGER NOT NULL,
  dead_at_ms INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  answer     TEXT    NOT NULL,
  body       BLOB    NOT NULL
) STRICT;
CREATE TRIGGER eventspool_dead_letter_added AFTER INSERT ON eventspool_dead_letter BEGIN
  UPDATE eventspool_queue SET dead_letter_count = dead_letter_count + 1,
    dead_letter_bytes = dead_letter_bytes + length(NEW.body) + length(CAST(NEW.answer AS BLOB));
END;
CREATE TRIGGER eventspool_dead_letter_removed AFTER DELETE ON eventspool_dead_letter BEGIN
  UPDATE eventspool_queue SET dead_letter_count = dead_letter_count - 1,
    dead_letter_bytes = dead_letter_bytes - length(OLD.body) - length(CAST(OLD.answer AS BLOB));
END;
`;

/** What a queue of version 1 holds: 12 events were put, 1 to 4 are delivered, 5 is a dead letter, 6 to 9 are leased. */
const ROWS = `
INSERT INTO eventspool_schema VALUES (1);
INSERT INTO eventspool_queue (one, max_events, batch_version, claimed_id, removed_count, dropped_dead_letter_count)
  VALUES (1, 77, '2j', 9, 5, 3);
INSERT INTO eventspool_epoch VALUES (1, 'b3a1f2de-7f59-4a1c-9d59-0d7a4ea34c55', 'created', 1);
INSERT INTO eventspool_rejected_put VALUES ('full', 4);
INSERT INTO eventspool_event (id, put_at_ms, body) WITH RECURSIVE ids (id) AS
  (SELECT 6 UNION ALL SELECT id + 1 FROM ids WHERE id < 12) SELECT id, 1000 + id, CAST('e' || id AS BLOB) FROM ids;
INSERT INTO eventspool_lease VALUES (40, 6, 7, 2000, 3000, 2, 1), (99, 8, 9, 2000, 3000, 1, 1);
DELETE FROM eventspool_lease WHERE id = 99;
INSERT INTO eventspool_lease VALUES (41, 8, 9, 2000, 3000, 1, 1);
INSERT INTO eventspool_dead_letter VALUES (5, 1005, 1500, 3, 422, 'no', x'6535');`;

/** Creates the tables of version 1 with a few rows in a database that has none. */
export function createVersion1(db: Pick<SqliteConnection, "exec">): void {
  db.exec(SCHEMA);
  db.exec(ROWS);
}
