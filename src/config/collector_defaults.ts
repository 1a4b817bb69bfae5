/**
 * The defaults that a collector has with and without a configuration file. They are apart from the code that reads
 * such a file, so that an app that mounts a collector does not load that code.
 */

/** The default of `max_events_per_request`: more than a full batch of events of 4 bytes each. */
export const DEFAULT_MAX_REQUEST_EVENTS = 100_000;

/** The default of `max_pending_size`, in bytes: 64 MiB. */
export const DEFAULT_MAX_PENDING_BYTES = 67_108_864;

/** The default of `max_requests`. */
export const DEFAULT_MAX_REQUESTS = 256;

/** The default of `output.fsync_interval`, in milliseconds. */
export const DEFAULT_FSYNC_INTERVAL_MS = 100;

/** The default of `output.mode`: only the owner may read events. */
export const DEFAULT_OUTPUT_MODE = 0o600;
