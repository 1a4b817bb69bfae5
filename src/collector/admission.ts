/**
 * How much a collector takes on at once: bodies that are on their way in, and batches that wait for the sink.
 *
 * The first are of anybody: a key's name is no secret, and until the signature verifies nothing is counted for the key.
 * They have a budget of their own, which those must make room in who take up most. The others are signed.
 *
 * @module
 */
import { HTTPException } from "hono/http-exception";
import { findGreediest, type Occupant } from "../server/connections.ts";
import type { CollectorStatus } from "./status.ts";

/** The most that is taken on. */
export interface AdmissionLimits {
  /** Requests being stored. */
  readonly maxRequests: number;
  /** Bytes of their bodies, decompressed; and, apart from that, of bodies that are being read. */
  readonly maxPendingBytes: number;
}

/** How soon those may come back who find it busy, in seconds: a batch is stored in far less. */
const BUSY_RETRY_AFTER_S = 1;

/**
 * How much of a body must arrive, in bytes a second on average over each window, else the request is answered 408.
 * Source: Kestrel's `MinRequestBodyDataRate`, 240 bytes a second after 5 s.
 */
const MIN_BODY_BYTES_PER_S = 240;
const BODY_WINDOW_MS = 5_000;

/** How many bytes of bodies may be on their way in, however few may be stored at once: some dozens of full batches. */
const MIN_READING_BYTES = 16_777_216;

/** How often bodies are looked at, in milliseconds. */
const CHECK_EVERY_MS = 1_000;

/** Not now: to be sent again. */
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

/** A batch that was taken on: `using admission = admit(status, batch);`. */
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
  /** Its body, decompressed. */
  readonly bytes: number;
  /** How many keys there are. */
  readonly keyCount: number;
}

/**
 * Takes a batch on. Where there are several keys, none may take up more than half of what there is.
 *
 * @throws {ServiceUnavailable} there is too much to do
 */
export function admit(status: CollectorStatus, { keyName, bytes, keyCount }: SignedBatch): Disposable {
  assertRoom(status);
  const { maxRequests, maxPendingBytes } = status.limits;
  const { pendingRequests, pendingBytes } = status.of(keyName);
  const isGreedy =
    pendingRequests > 0 && (pendingRequests * 2 >= maxRequests || pendingBytes * 2 >= maxPendingBytes);
  if (keyCount > 1 && isGreedy)
    throw overloaded(
      `The collector has ${pendingRequests} requests with ${pendingBytes} bytes of this key to store, half of what it may have of all keys.`,
    );
  return new Admission(status, keyName, bytes);
}

/** @throws {ServiceUnavailable} there is too much to do, or it is stopping: nothing of the request need be read */
export function assertOpen(status: CollectorStatus): void {
  if (status.isStopping) throw overloaded("The collector is stopping.");
  assertRoom(status);
}

function assertRoom({ pendingRequests, pendingBytes, limits }: CollectorStatus): void {
  const { maxRequests, maxPendingBytes } = limits;
  if (pendingRequests >= maxRequests)
    throw overloaded(`The collector has ${maxRequests} requests to store, as many as it may.`);
  if (pendingBytes >= maxPendingBytes)
    throw overloaded(`The collector has ${pendingBytes} bytes to store, and ${maxPendingBytes} are allowed.`);
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
  /** Why it must not be read on. */
  failure: HTTPException | undefined;
  #windowMs = this.sinceMs;
  #windowBytes = 0;
  #cancel: (() => void) | undefined;
  readonly #intake: Intake;

  constructor(intake: Intake, address: string) {
    this.#intake = intake;
    this.address = address;
  }

  /** Says how to wake up whoever reads it, once there is a failure. */
  onFailure(cancel: () => void): void {
    this.#cancel = cancel;
  }

  /** Counts what has arrived. */
  add(bytes: number): void {
    this.sizeBytes += bytes;
    this.#intake.count(bytes);
  }

  fail(failure: HTTPException): void {
    this.failure ??= failure;
    this.#cancel?.();
  }

  /** Fails it if too little has arrived in its window. */
  check(nowMs: number): void {
    if (nowMs - this.#windowMs < BODY_WINDOW_MS) return;
    const seconds = (nowMs - this.#windowMs) / 1_000;
    const arrived = this.sizeBytes - this.#windowBytes;
    if (arrived < seconds * MIN_BODY_BYTES_PER_S) this.fail(tooSlow());
    else this.restart(nowMs);
  }

  /** Begins a new window. */
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
  const message = `The body arrives too slowly: less than ${MIN_BODY_BYTES_PER_S} bytes a second for ${seconds} s. Send it again.`;
  return new HTTPException(408, { message });
}

/** The bodies that are being read. */
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

  /** Counts bytes of a body. If there are too many in all, someone must make room. */
  count(bytes: number): void {
    this.#status.readingBytes += bytes;
    const { limits, readingBytes } = this.#status;
    if (readingBytes <= Math.max(limits.maxPendingBytes, MIN_READING_BYTES)) return;
    const victim = findGreediest(this.#readings, {
      weigh: ({ sizeBytes }) => sizeBytes,
      isSpared: ({ failure }) => failure !== undefined,
    });
    victim?.fail(
      overloaded("The collector is reading more bytes than it may, and most of them come from there."),
    );
  }

  end(reading: Reading): void {
    this.#readings.delete(reading);
    this.#status.readingBytes -= reading.sizeBytes;
    this.#status.endReading();
  }

  #check(): void {
    const nowMs = performance.now();
    const isLate = nowMs - this.#checkedAtMs > 2 * CHECK_EVERY_MS; // we stood still, and what has arrived is not read yet
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
