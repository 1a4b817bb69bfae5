/**
 * Every limit of eventspool: its unit, its reason, its source.
 *
 * @module
 */

/**
 * The largest serialized event, in bytes: 102,400 passes, 102,401 does not.
 * Source: baseplate.py `baseplate/lib/events.py`, `MAX_EVENT_SIZE`.
 */
export const MAX_EVENT_BYTES = 102_400;

/**
 * How many events a queue holds, in rows, until someone says otherwise.
 * Source: baseplate.py `baseplate/lib/events.py`, `MAX_QUEUE_SIZE`.
 */
export const DEFAULT_MAX_EVENTS = 10_000;

/** The largest row cap one can ask for, in rows: ids and counts stay exact as JavaScript numbers. */
export const EVENTS_CEILING = 1_000_000_000_000;

/**
 * The size at which a batch is full, in bytes before compression: 500 KiB.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `MAX_BATCH_SIZE`.
 */
export const MAX_BATCH_BYTES = 512_000;

/**
 * How long an event may wait for others to fill its batch, in milliseconds.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `MAX_BATCH_AGE`.
 */
export const DEFAULT_BATCH_MAX_AGE_MS = 1_000;

/**
 * How long after a batch the next one waits for more events, in milliseconds, unless it is full: an event that
 * comes alone goes at once, and there are no more than 20 requests a second before batches are full.
 */
export const DEFAULT_BATCH_MIN_INTERVAL_MS = 50;

/**
 * The smallest size one can set for a batch, in bytes: the largest event, its comma and the v2 frame
 * of 27 bytes, so that whatever the queue took fits in a batch.
 */
export const MIN_BATCH_BYTES: number = MAX_EVENT_BYTES + 28;

/** The largest body one can let a collector take, in bytes, before compression: it is held in memory whole. */
export const BODY_BYTES_CEILING = 1_073_741_824;

/**
 * How deep structs, lists, sets and maps of a Thrift event may nest. A struct that contains itself ends
 * here, not in a stack overflow. Python's writer ends at about as many: its recursion limit.
 */
export const MAX_STRUCT_DEPTH = 1_000;

/** The longest duration one can configure, in milliseconds: a longer one than a day is a slip of the unit. */
export const MAX_DURATION_MS = 86_400_000;

/** The longest queue name, in characters: `events-NAME.db-wal` stays below the 255 bytes of a file name. */
export const MAX_QUEUE_NAME_CHARS = 100;

/**
 * How long a put waits for SQLite's write lock before it gives up, in milliseconds.
 * Waits are microseconds in practice (four saturated producers and a publisher: worst 60 ms);
 * the bound is for a process that was stopped while it held the lock.
 */
export const DEFAULT_BUSY_TIMEOUT_MS = 1_000;

/**
 * How hard batches are compressed, from 1 to 9. Measured with events of 336 bytes: level 1 0.85 us an event and 35 % of
 * the size, level 6 2.8 us and 24 %.
 */
export const DEFAULT_GZIP_LEVEL = 1;

/** How many batches a publisher has in flight at once, at most, if the collector takes them. One keeps strict order. */
export const DEFAULT_CONCURRENCY = 32;

/** The most batches in flight one can ask for: each holds up to {@link MAX_BATCH_BYTES} in memory. */
export const MAX_CONCURRENCY = 256;

/**
 * How long one POST may take, connect to last byte of the answer, in milliseconds. baseplate.py
 * gives up after 3 s and sends again, which a slow collector sees as twice the load.
 */
export const DEFAULT_COLLECTOR_TIMEOUT_MS = 10_000;

/**
 * How much longer than its POST a lease lasts, in milliseconds: time to read, sign and gzip
 * before the POST and to settle after it. Only a publisher that died lets a lease run out.
 */
export const LEASE_MARGIN_MS = 5_000;

/** How long a stopping publisher waits for batches in flight before it releases them, in milliseconds. */
export const DEFAULT_GRACE_MS = 10_000;

/** The first ceiling of the full-jitter backoff, in milliseconds; it doubles with each failure. */
export const BACKOFF_BASE_MS = 500;

/** The last ceiling of the full-jitter backoff, in milliseconds. */
export const BACKOFF_MAX_MS = 60_000;

/** How many dead letters are kept until someone says otherwise, in rows: the oldest make room for new ones. */
export const MAX_DEAD_LETTERS = 10_000;

/** How large the dead letters may grow until someone says otherwise, in bytes of bodies and answers: 64 MiB. */
export const MAX_DEAD_LETTER_BYTES = 67_108_864;

/** The most dead letters one can ask to be kept, in rows: the oldest is looked for among all of them. */
export const DEAD_LETTERS_CEILING = 1_000_000;

/** The largest size one can allow the dead letters, in bytes: 64 GiB. */
export const DEAD_LETTER_BYTES_CEILING = 68_719_476_736;

/**
 * How many events may become dead letters in a row before the publisher holds the queue: a poison event
 * comes alone or in a small group. `dead_letters.max_share` says how many may in the long run.
 */
export const DEAD_LETTER_BURST = 10;

/** The share of all events that may become dead letters until someone says otherwise. */
export const DEFAULT_DEAD_LETTER_MAX_SHARE = 0.1;

/** How long ago dead letters count for a publisher that starts, in milliseconds: ten minutes. */
export const DEAD_LETTER_MEMORY_MS = 600_000;

/** The smallest batch size that a collector's 413 can teach, in bytes: below, requests cost more than they carry. */
export const MIN_LEARNT_BATCH_BYTES = 16_384;

/** In what time a learnt batch size doubles again, in milliseconds: ten minutes. */
export const BATCH_REGROWTH_MS = 600_000;

/** The mode of a new queue file: events are nobody else's business. */
export const DEFAULT_FILE_MODE = 0o600;

/**
 * How many batches a sink commits together at most, and how large they are in bytes: 8 MiB take some 10 ms to
 * write, for which the event loop stands still.
 */
export const MAX_GROUP_BATCHES = 64;
export const MAX_GROUP_BYTES = 8_388_608;

/** How far apart the syncs of `output.fsync = interval` are unless configured, in milliseconds: as the publisher's are. */
export const DEFAULT_FSYNC_INTERVAL_MS = 100;

/** The smallest size at which a file can be told to rotate, in bytes: some batches, or there would be a file for each. */
export const MIN_ROTATE_BYTES = 1_048_576;

/** The largest size at which a file can be told to rotate, in bytes: 1 TiB. */
export const MAX_ROTATE_BYTES = 1_099_511_627_776;

/** The shortest age at which a file can be told to rotate, in milliseconds: 86,400 files a day. */
export const MIN_ROTATE_AGE_MS = 1_000;

/** How long the journal of a sink's ids grows until it is written anew, in bytes: of batches of 1,700 events, 10,000. */
export const MAX_JOURNAL_BYTES = 1_048_576;

/** How long the SQLite sink waits for somebody else's write lock, in milliseconds: the event loop stands still. */
export const SINK_BUSY_TIMEOUT_MS = 250;

/** The longest file of a secret, in bytes: 64 KiB. A key has a few dozen. */
export const MAX_SECRET_FILE_BYTES = 65_536;

/** The shortest `admin.token`, in characters: what cannot be guessed over a network. */
export const MIN_TOKEN_CHARS = 16;

/**
 * What puts leave free on the queue's disk, in bytes: 4 MiB, and no more than an eighth of a small disk. It is
 * for the publisher, whose claims and acks need room to drain the queue.
 */
export const MAX_RESERVE_BYTES = 4_194_304;

/** The size of a publisher's ballast until someone says otherwise, in bytes: 16 MiB. */
export const DEFAULT_BALLAST_BYTES = 16_777_216;

/** The largest ballast one can ask for, in bytes: 1 GiB. */
export const MAX_BALLAST_BYTES = 1_073_741_824;

/** The last ceiling of the backoff from a queue file that fails, in milliseconds: nobody else is burdened. */
export const STORAGE_BACKOFF_MAX_MS = 1_000;

/** How long a request to the collector or the admin routes may take to arrive, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** The longest headers of such a request together, in bytes: 16 KiB, Node's default. */
export const MAX_HEADER_BYTES = 16_384;

/** How many spans the span of a request is linked to, at most: what OpenTelemetry's SDKs keep of them by default. */
export const MAX_SPAN_LINKS = 128;

/** How many headers of such a request are read; a publisher sends a dozen. */
export const MAX_HEADERS = 100;

/** How many of the issues that a schema finds in one event are kept: a list of 100,000 may have as many. */
export const MAX_EVENT_ISSUES = 20;

/** How often the dashboard takes a sample for its charts, in milliseconds; it costs the publisher some 20 us. */
export const HISTORY_EVERY_MS = 5_000;

/** How many samples it keeps: 15 minutes, and the one that they begin with. */
export const HISTORY_SAMPLES = 181;

/** How often a dashboard that somebody looks at is brought up to date, in milliseconds. */
export const LIVE_EVERY_MS = 1_000;

/** How many dashboards are kept up to date at once. They share the work, some 0.5 ms a second, and each is a connection. */
export const MAX_LIVE_PAGES = 16;

/** How long a dashboard may take nothing of what it is sent before it is given up, in milliseconds. */
export const LIVE_STALL_MS = 30_000;

/** How long one stream of updates lasts, in milliseconds: a browser asks for the next, and must still be signed in. */
export const LIVE_MAX_MS = 3_600_000;

/** How many dead letters the dashboard shows on a page. */
export const DASHBOARD_DEAD_LETTERS = 20;

/** How many queues of the directory the dashboard shows: each is opened to look into it. */
export const DASHBOARD_QUEUES = 50;

/** How much of an event the dashboard shows, in characters; `queue dead show` has the rest. */
export const DASHBOARD_EVENT_CHARS = 4_000;

/** How large a form may be that the dashboard takes, in bytes. */
export const MAX_FORM_BYTES = 4_096;

/** How long one stays signed in to the dashboard, in milliseconds: 12 hours. */
export const SESSION_MS = 43_200_000;

/** How many events a collector takes in one request, until someone says otherwise: a full batch of 4 bytes each has more. */
export const DEFAULT_MAX_REQUEST_EVENTS = 100_000;

/** How many bytes of events, decompressed, a collector holds for its sink until it answers 503: 64 MiB. */
export const DEFAULT_MAX_PENDING_BYTES = 67_108_864;

/** The most bytes one can let it hold: 64 GiB. */
export const PENDING_BYTES_CEILING = 68_719_476_736;

/** How many requests a collector reads and stores at once until it answers 503; each holds up to its largest body. */
export const DEFAULT_MAX_REQUESTS = 256;

/** The most requests at once one can allow. */
export const REQUESTS_CEILING = 65_536;

/** How long a sink may take for a batch until the collector counts as failing, in milliseconds. */
export const STORE_STALL_MS = 30_000;

/** For how long after a failure of its sink a collector says that it is not ready, in milliseconds; then it is tried again. */
export const NOT_READY_MS = 10_000;

/** The longest `Retry-After` that a collector asks for, in seconds: its sink may be well again before. */
export const MAX_RETRY_AFTER_S = 32;

/** How long a batch may wait for the answers of a NATS server to its messages, in milliseconds. */
export const DEFAULT_NATS_TIMEOUT_MS = 10_000;

/** How long one NATS server may take to connect to, in milliseconds: then the next one is tried. */
export const NATS_DIAL_TIMEOUT_MS = 3_000;

/** How long a NATS server may take to say which stream a subject belongs to, in milliseconds: it is asked when nobody answers to that. */
export const NATS_STREAM_NAMES_TIMEOUT_MS = 1_000;

/** How often a NATS server is asked whether it is still there, in milliseconds: it is given up after three times without an answer. */
export const NATS_PING_INTERVAL_MS = 5_000;

/**
 * How many messages a publisher has on their way to JetStream at once, at most. Half of them are answered before more
 * are sent: 2,000 by halves take 21 us of CPU an event, 1,000 or 4,000 take 23 to 27.
 */
export const NATS_MAX_IN_FLIGHT = 2_000;

/** How many bytes of messages a publisher has on their way to JetStream at once, at most, besides the first message. */
export const NATS_MAX_IN_FLIGHT_BYTES = 8_388_608;

/** The longest token that a queue's name or a field of an event makes in a NATS subject, in characters: what follows is cut off. */
export const MAX_SUBJECT_TOKEN_CHARS = 64;

/** The longest `nats.subject`, in characters: with its fields filled in it stays far below a NATS line of 4,096. */
export const MAX_SUBJECT_CHARS = 255;
