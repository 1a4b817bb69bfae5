/**
 * What a lease is, and what may be asked of leases.
 *
 * @module
 */
import type { Refusal } from "./dead_letter_table.ts";
import type { PUT_TIMES } from "./id_ranges.ts";

/** A claimed range of events. It is settled by its id and attempts, never by its rows alone. */
export interface Lease {
  readonly id: number;
  readonly firstId: number;
  readonly lastId: number;
  /** How often the range was claimed, this time included: the fencing token. */
  readonly attempts: number;
}

/** A lease as others see it. */
export interface LeaseInfo extends Lease {
  readonly claimedAtMs: number;
  readonly expiresAtMs: number;
}

/** The events of a lease, joined by commas. */
export interface LeasedEvents {
  readonly count: number;
  readonly joined: Uint8Array;
  /** When they were put, in Unix milliseconds and in order; of many, {@link PUT_TIMES} evenly spread ones. */
  readonly putAtMs: readonly number[];
}

/** What becomes of a lease's events one by one; those that are named nowhere are delivered. */
export interface Settlement {
  /** Those that become dead letters. */
  readonly dead: readonly ({ readonly id: number } & Pick<Refusal, "status" | "answer">)[];
  /** The ids of those that are given back, in ascending order. */
  readonly kept: readonly number[];
}

/** Which of the leases that nobody holds may be claimed; by default any. */
export interface ReclaimOptions {
  /** Leases to leave alone, by their ids: those whose delivery is still on its way in this process. */
  readonly except?: { has(leaseId: number): boolean };
  /** Whether to claim the one lease with the oldest events or none, so that none overtakes them. */
  readonly oldestOnly?: boolean;
  /** Whether to claim the one with the fewest attempts, so that one that fails each time keeps no other waiting. */
  readonly fairly?: boolean;
}
