/**
 * How long a publisher waits where no setting says so.
 *
 * @module
 */
import { LEASE_MARGIN_MS } from "../wire/retry_after.ts";

/** Durations, in milliseconds. Only tests change them. */
export interface Timings {
  /** Until the first look at the ballast, and between two. */
  readonly ballastMs: number;
  /** How long a queue must be idle before its file is compacted. */
  readonly compactMs: number;
  /** How much longer than its request may take a lease lasts. */
  readonly leaseMarginMs: number;
  /** How often an idle publisher looks for events, should the watch fail or a lease expire. */
  readonly pollMs: number;
}

/** Those of a publisher at work. */
export const TIMINGS: Timings = {
  ballastMs: 5_000,
  compactMs: 10_000,
  leaseMarginMs: LEASE_MARGIN_MS,
  pollMs: 1_000,
};
