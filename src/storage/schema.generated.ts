// Generated from schema.sql by scripts/generate_schema.ts. Do not edit.
export const SCHEMA_SQL: string = `CREATE TABLE eventspool_schema (
  version INTEGER NOT NULL
) STRICT;
CREATE TABLE eventspool_event (
  id        INTEGER PRIMARY KEY CHECK (id > 0), -- 0 is how a put that finds the queue full is rejected
  put_at_ms INTEGER NOT NULL,                   -- Unix time, for showing ages and for retention
  body      BLOB    NOT NULL,                   -- the serialized event, byte for byte as it goes on the wire
  trace     TEXT                                -- the span that put it: W3C's traceparent and, after a space, its tracestate
) STRICT;
CREATE TABLE eventspool_queue (
  one             INTEGER PRIMARY KEY CHECK (one = 1),
  max_events      INTEGER NOT NULL DEFAULT 10000 CHECK (max_events > 0), -- put rejects at this depth
  batch_version   TEXT CHECK (batch_version IN ('2', '2j')),             -- what its serializers write; NULL: not known
  settled_count   INTEGER NOT NULL DEFAULT 0,                            -- the lowest of the required subscriptions
  claimed_id      INTEGER NOT NULL DEFAULT 0,                            -- the highest id ever claimed or trimmed
  retention_ms    INTEGER CHECK (retention_ms > 0),                      -- how long settled events stay; both NULL: not at all
  retention_bytes INTEGER CHECK (retention_bytes > 0),                   -- how many bytes of them
  measured_id     INTEGER NOT NULL DEFAULT 0,                            -- up to which id retained_bytes counts
  retained_bytes  INTEGER NOT NULL DEFAULT 0,                            -- the bodies of the events up to it
  paused_at_ms    INTEGER,                                               -- since when publishers hold; NULL: not paused
  location        TEXT    NOT NULL DEFAULT '{}'                          -- where the file was last seen: see src/storage/identity.ts
) STRICT;
CREATE TABLE eventspool_subscription (
  id                        INTEGER PRIMARY KEY AUTOINCREMENT,
  name                      TEXT    NOT NULL UNIQUE,
  claimed_id                INTEGER NOT NULL,              -- the cursor: the highest id it has claimed
  settled_count             INTEGER NOT NULL,
  lag_limit_events          INTEGER CHECK (lag_limit_events > 0),
  lag_limit_ms              INTEGER CHECK (lag_limit_ms > 0),
  skipped_count             INTEGER NOT NULL DEFAULT 0,    -- events that it never got, since it lagged too far behind
  skipped_at_ms             INTEGER,                       -- when that happened last
  replay_next_id            INTEGER,                       -- what is left of a replay; NULL: none is under way, or all of it is claimed
  replay_last_id            INTEGER,
  dead_letter_count         INTEGER NOT NULL DEFAULT 0,    -- kept by the triggers below
  dead_letter_bytes         INTEGER NOT NULL DEFAULT 0,    -- their bodies and responses
  dropped_dead_letter_count INTEGER NOT NULL DEFAULT 0,    -- dead letters that were dropped to make room for newer ones
  destination               TEXT,                          -- where its publisher sends; NULL: not known
  sent_id                   INTEGER NOT NULL DEFAULT 0     -- up to here its destination may have events from before it was added or moved
) STRICT;
CREATE TABLE eventspool_epoch (
  first_id    INTEGER PRIMARY KEY,
  uuid        TEXT    NOT NULL,
  reason      TEXT    NOT NULL,                  -- created, moved or rolled_back
  began_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE eventspool_rejected_put (
  reason TEXT    PRIMARY KEY,
  count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE eventspool_lease (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription_id INTEGER NOT NULL,
  first_id        INTEGER NOT NULL,
  last_id         INTEGER NOT NULL,
  claimed_at_ms   INTEGER NOT NULL,              -- a lease claimed in the future means the clock was set back
  expires_at_ms   INTEGER NOT NULL,              -- from then on any publisher may claim it; at release: claimed_at_ms
  attempts        INTEGER NOT NULL,              -- how often it was claimed
  sends           INTEGER NOT NULL,              -- how many of these attempts a destination may have received
  is_replay       INTEGER NOT NULL DEFAULT 0,    -- 1: its events were settled before
  CHECK (first_id <= last_id)
) STRICT;
CREATE TABLE eventspool_dead_letter (
  subscription_id INTEGER NOT NULL,
  id              INTEGER NOT NULL,              -- the id it had as an event
  put_at_ms       INTEGER NOT NULL,
  dead_at_ms      INTEGER NOT NULL,
  attempts        INTEGER NOT NULL,
  status          INTEGER NOT NULL,              -- the HTTP status of the rejection
  response        TEXT    NOT NULL,              -- the beginning of the response
  body            BLOB    NOT NULL,
  UNIQUE (subscription_id, id)
) STRICT;
CREATE TRIGGER eventspool_dead_letter_added AFTER INSERT ON eventspool_dead_letter BEGIN
  UPDATE eventspool_subscription SET dead_letter_count = dead_letter_count + 1,
    dead_letter_bytes = dead_letter_bytes + length(NEW.body) + length(CAST(NEW.response AS BLOB))
  WHERE id = NEW.subscription_id;
END;
CREATE TRIGGER eventspool_dead_letter_removed AFTER DELETE ON eventspool_dead_letter BEGIN
  UPDATE eventspool_subscription SET dead_letter_count = dead_letter_count - 1,
    dead_letter_bytes = dead_letter_bytes - length(OLD.body) - length(CAST(OLD.response AS BLOB))
  WHERE id = OLD.subscription_id;
END;
CREATE TABLE eventspool_retried (
  id              INTEGER PRIMARY KEY,           -- the id it has as an event
  subscription_id INTEGER NOT NULL
) STRICT;
`;
