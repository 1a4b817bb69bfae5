-- The schema of a queue, the only one: in a file of its own, `events-NAME.db`, and in a service's database (an
-- outbox), beside the service's tables. `scripts/generate_schema.ts` copies its statements into
-- `src/storage/schema.generated.ts`; a test checks that the copy is fresh.
--
-- A queue has a file of its own where it can, so that queues do not wait for each other's write lock, a queue has
-- its own owner and mode, and dropping one is deleting a file. Such a file has the application_id "evsp".
--
-- A queue is a log: events are appended, and each subscription reads all of them at its own pace. Events leave only
-- when they are trimmed: see `src/storage/trim.ts`.
--
-- What holds at every commit:
--   * Ids are assigned inside the write lock, one after the other and never twice: they are in commit
--     order, so a cursor over them never skips an event that commits late.
--   * newest id = the highest id ever assigned = max(max(eventspool_event.id), eventspool_queue.claimed_id)
--   * Of each subscription: every id up to its claimed_id is settled or lies in exactly one of its leases that are no
--     replay, and no such lease has an id above it. settled_count counts those that are settled, and those before the
--     start of the subscription; so its depth is newest id - settled_count.
--   * eventspool_queue.settled_count is the lowest settled_count of a required subscription, and there is at least one.
--     So the queue's depth is newest id - settled_count: no counting of rows, however deep the queue is.
--   * dead_letter_count and _bytes of a subscription count its dead letters, whichever program writes them.

-- The version of these tables: see `src/storage/schema.ts`. In a table, since user_version is the service's.
CREATE TABLE eventspool_schema (
  version INTEGER NOT NULL
) STRICT;

-- An event. A row is written once by put, and is never rewritten: claiming and acking write a lease and counters
-- (per-row claims held the write lock 48 times longer; an ack that deleted rows wrote every page that it emptied).
-- No AUTOINCREMENT and no second index: each costs put a third of its speed. No trigger: with one, deleting all rows
-- visits each of them.
CREATE TABLE eventspool_event (
  id        INTEGER PRIMARY KEY CHECK (id > 0), -- 0 is how a put that finds the queue full is rejected
  put_at_ms INTEGER NOT NULL,                   -- Unix time, for showing ages and for retention
  body      BLOB    NOT NULL,                   -- the serialized event, byte for byte as it goes on the wire
  trace     TEXT                                -- the span that put it: W3C's traceparent and, after a space, its tracestate
) STRICT;

-- The one row that describes the queue.
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

-- A reader of the queue: it gets each event from its start on, at its own pace. Required subscriptions hold the cap.
-- One with a lag limit is best-effort: when it lags further behind, it skips events.
-- AUTOINCREMENT: the id of one that was removed must never come back.
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

-- Which UUID names an event in Event-Ids: that of the last epoch that starts at or before its id. A file that was
-- copied, restored or rolled back assigns ids again that its original has assigned: a new epoch keeps them apart.
CREATE TABLE eventspool_epoch (
  first_id    INTEGER PRIMARY KEY,
  uuid        TEXT    NOT NULL,
  reason      TEXT    NOT NULL,                  -- created, moved or rolled_back
  began_at_ms INTEGER NOT NULL
) STRICT;

-- Events that put rejected, by the reason: full, too_large, invalid, storage. Producers count in memory and
-- add the counts here about once a second, so that a rejection stays free and the publisher can report it.
CREATE TABLE eventspool_rejected_put (
  reason TEXT    PRIMARY KEY,
  count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A range of events that a subscription has claimed. Settling it (ack, release, split, dead-letter) names
-- id and attempts: attempts is the fencing token that a publisher whose lease expired no longer holds.
-- AUTOINCREMENT: a lease id must never come back, or a late ack could settle another publisher's lease.
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

-- An event that the destination of a subscription rejects by itself, kept with the response for the operator. The
-- body is the last column: what follows a long one is found only by reading all of its pages.
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

-- Counting 200,000 dead letters takes 43 ms, and /depth asks for it. No put runs these triggers, so they may be slow.
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

-- An event for one subscription alone: a dead letter that it tries again. The others skip it.
CREATE TABLE eventspool_retried (
  id              INTEGER PRIMARY KEY,           -- the id it has as an event
  subscription_id INTEGER NOT NULL
) STRICT;
