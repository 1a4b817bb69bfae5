-- The schema of a queue, the only one: in a file of its own, `events-NAME.db`, and in a service's database (an
-- outbox), beside the service's tables. `scripts/generate_schema.ts` copies it into `src/storage/schema.generated.ts`;
-- a test sees that the copy is fresh.
--
-- A queue has a file of its own where it can, so that queues do not wait for each other's write lock, a queue has
-- its own owner and mode, and dropping one is deleting a file. Such a file has the application_id "evsp".
--
-- What holds at every commit:
--   * Ids are given inside the write lock, one after the other and never twice: they are in commit
--     order, so a cursor over them never skips an event that commits late.
--   * head  = the highest id ever given = max(max(eventspool_event.id), eventspool_queue.claimed_id)
--     depth = head - eventspool_queue.removed_count: no counting of rows, however deep the queue is.
--   * Every event with an id up to eventspool_queue.claimed_id lies in exactly one lease; none above it does.
--   * eventspool_queue.dead_letter_count and _bytes count what is in eventspool_dead_letter, whoever writes there.

-- The version of these tables: see `src/storage/schema.ts`. In a table, since user_version is the service's.
CREATE TABLE eventspool_schema (
  version INTEGER NOT NULL
) STRICT;

-- An event that waits for the collector or is on its way there. A row is written once by put and
-- deleted once by ack; claiming never rewrites it (per-row claims held the write lock 48 times longer).
-- No AUTOINCREMENT and no second index: each costs put a third of its speed.
CREATE TABLE eventspool_event (
  id        INTEGER PRIMARY KEY CHECK (id > 0), -- 0 is how a put that finds the queue full is rejected
  put_at_ms INTEGER NOT NULL,                   -- Unix time; only for showing ages, never for decisions
  body      BLOB    NOT NULL,                   -- the serialized event, byte for byte as it goes on the wire
  trace     TEXT                                -- the span that put it: W3C's traceparent and, behind a space, its tracestate
) STRICT;

-- The one row that describes the queue.
CREATE TABLE eventspool_queue (
  one           INTEGER PRIMARY KEY CHECK (one = 1),
  max_events    INTEGER NOT NULL DEFAULT 10000 CHECK (max_events > 0), -- put rejects at this depth
  batch_version TEXT CHECK (batch_version IN ('2', '2j')),             -- what its serializers write; NULL: not known
  claimed_id    INTEGER NOT NULL DEFAULT 0,                            -- the cursor: the highest id ever claimed
  removed_count INTEGER NOT NULL DEFAULT 0,                            -- ids that left the event table, all claimed before
  dead_letter_count         INTEGER NOT NULL DEFAULT 0,                -- kept by the triggers below
  dead_letter_bytes         INTEGER NOT NULL DEFAULT 0,                -- their bodies and responses
  dropped_dead_letter_count INTEGER NOT NULL DEFAULT 0,                -- dead letters that made room for newer ones
  location      TEXT    NOT NULL DEFAULT '{}'                          -- where the file was last seen: see src/storage/epochs.ts
) STRICT;

-- Which UUID names an event in Event-Ids: that of the last epoch that starts at or before its id. A file that was
-- copied, restored or rolled back gives ids again that its original has given: a new epoch keeps them apart.
CREATE TABLE eventspool_epoch (
  first_id    INTEGER PRIMARY KEY,
  uuid        TEXT    NOT NULL,
  reason      TEXT    NOT NULL,                  -- created, moved or rolled_back
  began_at_ms INTEGER NOT NULL
) STRICT;

-- Events that put rejected, by the reason: full, too_large, invalid, storage. Producers count in memory and
-- add it up here about once a second, so that a rejection stays free and the publisher can tell of it.
CREATE TABLE eventspool_rejected_put (
  reason TEXT    PRIMARY KEY,
  count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A range of events that a publisher has claimed. Settling it (ack, release, split, dead-letter) names
-- id and attempts: attempts is the fencing token that a publisher whose lease expired no longer holds.
-- AUTOINCREMENT: a lease id must never come back, or a late ack could settle another publisher's lease.
CREATE TABLE eventspool_lease (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  first_id      INTEGER NOT NULL,
  last_id       INTEGER NOT NULL,
  claimed_at_ms INTEGER NOT NULL,                -- a lease claimed in the future means the clock was set back
  expires_at_ms INTEGER NOT NULL,                -- from then on anyone may claim it; at release: now
  attempts      INTEGER NOT NULL,                -- how often it was claimed
  sends         INTEGER NOT NULL,                -- how many of these attempts a destination may have received
  CHECK (first_id <= last_id)
) STRICT;

-- An event that the collector rejects by itself, kept with the collector's response for the operator. The
-- body stands last: what stands behind a long one is found only by walking through all of its pages.
CREATE TABLE eventspool_dead_letter (
  id         INTEGER PRIMARY KEY,                -- the id it had as an event
  put_at_ms  INTEGER NOT NULL,
  dead_at_ms INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  status     INTEGER NOT NULL,                   -- the HTTP status of the rejection
  response   TEXT    NOT NULL,                   -- the beginning of the collector's response
  body       BLOB    NOT NULL
) STRICT;

-- Counting 200,000 dead letters takes 43 ms, and /depth asks for it. Not on put's way, so triggers may be dear.
CREATE TRIGGER eventspool_dead_letter_added AFTER INSERT ON eventspool_dead_letter BEGIN
  UPDATE eventspool_queue SET dead_letter_count = dead_letter_count + 1,
    dead_letter_bytes = dead_letter_bytes + length(NEW.body) + length(CAST(NEW.response AS BLOB));
END;
CREATE TRIGGER eventspool_dead_letter_removed AFTER DELETE ON eventspool_dead_letter BEGIN
  UPDATE eventspool_queue SET dead_letter_count = dead_letter_count - 1,
    dead_letter_bytes = dead_letter_bytes - length(OLD.body) - length(CAST(OLD.response AS BLOB));
END;
