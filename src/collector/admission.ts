/**
 * Limits how much work a collector holds at once: bodies that are being read, and batches that are being stored.
 *
 * Anyone can send a body, since the name of a key is not a secret. So bodies have a budget of their own, in which the
 * address with the most bytes makes room first. A batch counts for its key only after its signature is verified.
 */
import { HTTPException } from "hono/http-exception";
import { findHeaviest, type Occupant } from "../server/connections.ts";
import type { CollectorStatus } from "./status.ts";

/** `Retry-After` of a busy collector, in seconds: a batch is stored in far less. */
const BUSY_RETRY_AFTER_S = 1;

/**
 * The minimum rate of a body, in bytes per second on average over each window. A slower request gets a 408.
 * Source: Kestrel's `MinRequestBodyDataRate`, 240 bytes per second after 5 s.
 */
const MIN_BODY_BYTES_PER_S = 240;
const BODY_WINDOW_MS = 5_000;

/** The budget of bodies that are being read is never below this, in bytes: some dozens of full batches. */
const MIN_READING_BYTES = 16_777_216;

/** How often the rates of bodies are checked, in milliseconds. */
const CHECK_EVERY_MS = 1_000;

/** The batch must be sent again later. */
export class ServiceUnavailable extends HTTPException {
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

/** An admitted batch: `using admission = admit(status, batch);`. */
class Admission implements Disposable {
  readonly #status: CollectorStatus;
  readonly #keyName: string;
  readonly #bytes: number;

  constructor(status: CollectorStatus, keyName: string, bytes: number) {
    this.#status = status;
    this.#keyName = keyName;
    this.#bytes = bytes;
    status.enter(keyName, bytes);
  }

  [Symbol.dispose](): void {
    this.#status.leave(this.#keyName, this.#bytes);
  }
}

/** A batch whose signature has been verified. */
export interface SignedBatch {
  readonly keyName: string;
  /** The size of its decompressed body. */
  readonly bytes: number;
  /** The number of keys of the collector. */
  readonly keyCount: number;
}

/**
 * Admits a batch. If the collector has several keys, one key may use half of the limits.
 *
 * @throws {ServiceUnavailable} a limit is reached
 */
export function admit(status: CollectorStatus, { keyName, bytes, keyCount }: SignedBatch): Disposable {
  assertBelowLimits(status);
  const { maxRequests, maxPendingBytes } = status.limits;
  const { pendingRequests, pendingBytes } = status.countsOf(keyName);
  const isOverShare =
    pendingRequests > 0 && (pendingRequests * 2 >= maxRequests || pendingBytes * 2 >= maxPendingBytes);
  if (keyCount > 1 && isOverShare)
    throw overloaded(
      `The collector is storing ${pendingRequests} requests with ${pendingBytes} bytes of this key, half of its limit for all keys.`,
    );
  return new Admission(status, keyName, bytes);
}

/** Call it before reading a request. @throws {ServiceUnavailable} a limit is reached, or the collector is stopping */
export function assertOpen(status: CollectorStatus): void {
  if (status.isStopping) throw overloaded("The collector is stopping.");
  assertBelowLimits(status);
}

function assertBelowLimits({ pendingRequests, pendingBytes, limits }: CollectorStatus): void {
  const { maxRequests, maxPendingBytes } = limits;
  if (pendingRequests >= maxRequests)
    throw overloaded(`The collector is storing ${maxRequests} requests, its limit.`);
  if (pendingBytes >= maxPendingBytes)
    throw overloaded(`The collector is storing ${pendingBytes} bytes, the limit is ${maxPendingBytes}.`);
}

function overloaded(message: string): ServiceUnavailable {
  return new ServiceUnavailable("overloaded", `${message} Send it again.`, {
    retryAfterS: BUSY_RETRY_AFTER_S,
  });
}

/** A body that is being read: `using reading = intake.begin(address);`. */
export class Reading implements Occupant, Disposable {
  readonly address: string;
  readonly sinceMs: number = performance.now();
  sizeBytes = 0;
  /** Why reading must stop. */
  failure: HTTPException | undefined;
  #windowMs = this.sinceMs;
  #windowBytes = 0;
  #cancel: (() => void) | undefined;
  readonly #intake: Intake;

  constructor(intake: Intake, address: string) {
    this.#intake = intake;
    this.address = address;
  }

  /** Sets what to call when reading must stop. */
  onFailure(cancel: () => void): void {
    this.#cancel = cancel;
  }

  /** Counts bytes that arrived. */
  add(bytes: number): void {
    this.sizeBytes += bytes;
    this.#intake.count(bytes);
  }

  fail(failure: HTTPException): void {
    this.failure ??= failure;
    this.#cancel?.();
  }

  /** Stops the reading if too little arrived within its window. */
  check(nowMs: number): void {
    if (nowMs - this.#windowMs < BODY_WINDOW_MS) return;
    const seconds = (nowMs - this.#windowMs) / 1_000;
    const arrived = this.sizeBytes - this.#windowBytes;
    if (arrived < seconds * MIN_BODY_BYTES_PER_S) this.fail(tooSlow());
    else this.restart(nowMs);
  }

  /** Starts a new window. */
  restart(nowMs: number): void {
    this.#windowMs = nowMs;
    this.#windowBytes = this.sizeBytes;
  }

  [Symbol.dispose](): void {
    this.#intake.end(this);
  }
}

function tooSlow(): HTTPException {
  const seconds = BODY_WINDOW_MS / 1_000;
  const message = `The body arrives too slowly: less than ${MIN_BODY_BYTES_PER_S} bytes per second for ${seconds} s. Send it again.`;
  return new HTTPException(408, { message });
}

/** All bodies that are being read. */
export class Intake {
  readonly #status: CollectorStatus;
  readonly #readings = new Set<Reading>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #checkedAtMs = 0;

  constructor(status: CollectorStatus) {
    this.#status = status;
  }

  begin(address: string): Reading {
    const reading = new Reading(this, address);
    this.#readings.add(reading);
    this.#status.readingRequests++;
    if (this.#timer === undefined) {
      this.#checkedAtMs = performance.now();
      this.#timer = setInterval(() => this.#check(), CHECK_EVERY_MS);
      this.#timer.unref();
    }
    return reading;
  }

  /** Counts bytes of a body. Beyond the budget, the body with the most bytes is stopped. */
  count(bytes: number): void {
    this.#status.readingBytes += bytes;
    const { limits, readingBytes } = this.#status;
    if (readingBytes <= Math.max(limits.maxPendingBytes, MIN_READING_BYTES)) return;
    const victim = findHeaviest(this.#readings, {
      weigh: ({ sizeBytes }) => sizeBytes,
      isSpared: ({ failure }) => failure !== undefined,
    });
    victim?.fail(
      overloaded("The collector is reading too many bytes at once, and most of them come from this address."),
    );
  }

  end(reading: Reading): void {
    this.#readings.delete(reading);
    this.#status.readingBytes -= reading.sizeBytes;
    this.#status.endReading();
  }

  #check(): void {
    const nowMs = performance.now();
    const isLate = nowMs - this.#checkedAtMs > 2 * CHECK_EVERY_MS; // this process was suspended, and has not read yet what arrived
    this.#checkedAtMs = nowMs;
    for (const reading of this.#readings) {
      if (isLate) reading.restart(nowMs);
      else reading.check(nowMs);
    }
    if (this.#readings.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
