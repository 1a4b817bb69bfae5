import { LEASE_MARGIN_MS } from "../wire/retry_after.ts";

/**
 * How long a publisher waits where no setting says so, in milliseconds. Tests shorten these, in their own process or
 * by test/support/programs/quick_publisher.ts; no entry point of the package exports them.
 */
export const waits = {
  /** Until the first look at the ballast, and between two. */
  ballastMs: 5_000,
  /** How long a queue must be idle before its file is compacted. */
  compactMs: 10_000,
  /** How much longer than its request may take a lease lasts. */
  leaseMarginMs: LEASE_MARGIN_MS as number,
  /** How often an idle publisher looks for events, should the watch fail or a lease run out. */
  pollMs: 1_000,
};
