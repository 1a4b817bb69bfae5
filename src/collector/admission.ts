/**
 * How much a collector takes on at once.
 *
 * @module
 */
import { HTTPException } from "hono/http-exception";
import type { CollectorStatus } from "./status.ts";

/** The most that is taken on. */
export interface AdmissionLimits {
  /** Requests being read or stored. */
  readonly maxRequests: number;
  /** Bytes of their bodies, decompressed. At most as many requests as may be read at once come on top. */
  readonly maxPendingBytes: number;
}

/** How soon those may come back who find it busy, in seconds: a batch is stored in far less. */
const BUSY_RETRY_AFTER_S = 1;

/** Not now: to be sent again. */
export class Unavailable extends HTTPException {
  readonly outcome: "overloaded" | "not_stored";
  readonly retryAfterS: number;

  constructor(
    outcome: "overloaded" | "not_stored",
    message: string,
    { retryAfterS, cause }: { retryAfterS: number; cause?: unknown },
  ) {
    super(503, { message, cause });
    this.outcome = outcome;
    this.retryAfterS = retryAfterS;
  }
}

/** A request that was taken on: `using admission = admit(status, limits);`. */
export class Admission implements Disposable {
  readonly #status: CollectorStatus;
  #bytes = 0;

  constructor(status: CollectorStatus) {
    this.#status = status;
    status.enter();
  }

  /** Counts its body. */
  hold(bytes: number): void {
    this.#bytes += bytes;
    this.#status.pendingBytes += bytes;
  }

  [Symbol.dispose](): void {
    this.#status.leave(this.#bytes);
  }
}

/**
 * Takes a request on.
 *
 * @throws {Unavailable} there is too much to do
 */
export function admit(status: CollectorStatus, { maxRequests, maxPendingBytes }: AdmissionLimits): Admission {
  if (status.isStopping) throw overloaded("The collector is stopping.");
  if (status.pendingRequests >= maxRequests)
    throw overloaded(`The collector has ${maxRequests} requests to do, as many as it may.`);
  if (status.pendingBytes >= maxPendingBytes)
    throw overloaded(
      `The collector has ${status.pendingBytes} bytes to store, and ${maxPendingBytes} are allowed.`,
    );
  return new Admission(status);
}

function overloaded(message: string): Unavailable {
  return new Unavailable("overloaded", `${message} Send it again.`, { retryAfterS: BUSY_RETRY_AFTER_S });
}
