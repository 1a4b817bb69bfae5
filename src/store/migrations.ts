/**
 * How an older queue file becomes one of today's.
 *
 * @module
 */

/** From version 1: dead letters are counted, their bodies stand last; refused puts are counted. */
const TO_VERSION_2 = `
ALTER TABLE queue ADD COLUMN dead_letter_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dead_letter_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dropped_dead_letter_count INTEGER NOT NULL DEFAULT 0;
CREATE TABLE refused_put (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

ALTER TABLE dead_letter RENAME TO dead_letter_1;
CREATE TABLE dead_letter (
  id         INTEGER PRIMARY KEY,
  put_at_ms  INTEGER NOT NULL,
  dead_at_ms INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  answer     TEXT    NOT NULL,
  body       BLOB    NOT NULL
) STRICT;
CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter BEGIN
  UPDATE queue SET dead_letter_count = dead_letter_count + 1,
    dead_letter_bytes = dead_letter_bytes + length(NEW.body) + length(CAST(NEW.answer AS BLOB));
END;
CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letter BEGIN
  UPDATE queue SET dead_letter_count = dead_letter_count - 1,
    dead_letter_bytes = dead_letter_bytes - length(OLD.body) - length(CAST(OLD.answer AS BLOB));
END;
INSERT INTO dead_letter (id, put_at_ms, dead_at_ms, attempts, status, answer, body)
  SELECT id, put_at_ms, dead_at_ms, attempts, status, answer, body FROM dead_letter_1;
DROP TABLE dead_letter_1;
`;

/** From version 2: an event may tell of the span that put it. */
const TO_VERSION_3 = "ALTER TABLE event ADD COLUMN trace TEXT;";

/**
 * SQL that takes a file from version `index + 1` to `index + 2`. A change of schema.sql raises its
 * `user_version` and adds one entry here.
 */
export const MIGRATIONS: readonly string[] = [TO_VERSION_2, TO_VERSION_3];
