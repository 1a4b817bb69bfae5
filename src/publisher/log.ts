/** Every log line of the publisher. */
import { getLogger } from "@logtape/logtape";
import type { Lease } from "../storage/leases.ts";

const logger = getLogger(["eventspool", "publisher"]);

export function logStarted(about: { queue: string; file: string; url: string }): void {
  logger.info("Publishing queue {queue} ({file}) to {url}", about);
}

export function logMoved(file: string): void {
  logger.warn(
    "The queue file {file} was moved, copied or restored, or the machine restarted: new events get a new identity",
    { file },
  );
}

export function logRolledBack(lease: Lease, duplicates: number): void {
  logger.error(
    "The queue file was rolled back, or a proxy repeats requests: the destination already had {duplicates} of the events {firstId} to {lastId}, which were never sent; they are sent again under a new identity and may arrive twice",
    { ...range(lease), duplicates },
  );
}

export function logExposed(problem: string, advice: string): void {
  logger.warn("Other users may change the queue: {problem}: {advice}", { problem, advice });
}

export function logDuplicates(lease: Lease, duplicates: number): void {
  logger.warn(
    "The destination already had {duplicates} of the events {firstId} to {lastId}: another subscription sent them, or they were in the queue file when it was moved, copied or restored; they are the same events and are not sent again",
    { ...range(lease), duplicates },
  );
}

export function logPaused(): void {
  logger.warn("The queue is paused: events wait until eventspool resume");
}

export function logResumed(pausedForMs: number): void {
  logger.info("The queue is resumed, after {pausedForMs} ms", { pausedForMs });
}

export function logStopping(inFlight: number, graceMs: number): void {
  logger.info("Stopping: {inFlight} batches in flight have {graceMs} ms to finish", { inFlight, graceMs });
}

export function logStopped(about: { delivered: number; depth: number }): void {
  logger.info("Stopped: {delivered} events delivered, {depth} still in the queue", about);
}

export function logDelivered(lease: Lease, count: number, durationMs: number): void {
  logger.debug("Delivered {count} events in {durationMs} ms", {
    ...range(lease),
    count,
    durationMs: Math.round(durationMs),
  });
}

export function logUnavailable(lease: Lease, reason: string, retryInMs: number): void {
  logger.warn("The destination is unavailable, retrying in {retryInMs} ms: {reason}", {
    ...range(lease),
    reason,
    retryInMs: Math.round(retryInMs),
  });
}

export function logRecovered(failingForMs: number): void {
  logger.info("The destination is available again after {failingForMs} ms", {
    failingForMs: Math.round(failingForMs),
  });
}

export function logMisconfigured(lease: Lease, reason: string, retryInMs: number): void {
  logger.error(
    "The destination rejects our requests: its address or our key is wrong; events are kept, retrying in {retryInMs} ms: {reason}",
    { ...range(lease), reason, retryInMs: Math.round(retryInMs) },
  );
}

export function logSplit(lease: Lease, status: number, response: string): void {
  logger.warn(
    "The destination rejected a batch ({status}), splitting it to find the event at fault: {response}",
    {
      ...range(lease),
      status,
      response,
    },
  );
}

export function logDeadLetter(lease: Lease, status: number, response: string): void {
  logger.error("The destination rejected event {firstId} ({status}), kept as a dead letter: {response}", {
    ...range(lease),
    status,
    response,
  });
}

export function logHeld(lease: Lease, status: number, response: string, retryInMs: number): void {
  logger.error(
    "The destination rejects too many events ({status}): the schema, collector.version or the destination is wrong; events are kept, retrying in {retryInMs} ms: {response}",
    { ...range(lease), status, response, retryInMs: Math.round(retryInMs) },
  );
}

export function logDropped(droppedCount: number): void {
  logger.error("Dropped the {droppedCount} oldest dead letters to make room for a new one", {
    droppedCount,
  });
}

export function logRetried(retriedCount: number): void {
  logger.info("Put {retriedCount} dead letters back into the queue", { retriedCount });
}

export function logPurged(purgedCount: number): void {
  logger.warn("Purged {purgedCount} dead letters", { purgedCount });
}

export function logShrunk(sizeBytes: number, maxBytes: number): void {
  logger.warn(
    "A batch of {sizeBytes} bytes is too large for the destination, batches now have at most {maxBytes} bytes",
    {
      sizeBytes,
      maxBytes,
    },
  );
}

export function logLeaseLost(lease: Lease): void {
  logger.warn(
    "The lease of events {firstId} to {lastId} expired and another publisher claimed it: they may be delivered twice",
    range(lease),
  );
}

/** An error once; repeats go to the debug log. */
export function logStorageFailure(
  reason: string,
  { retryInMs, isNews }: { retryInMs: number; isNews: boolean },
): void {
  const properties = { reason, retryInMs: Math.round(retryInMs) };
  const message = "The queue file fails, retrying in {retryInMs} ms: {reason}";
  if (isNews) logger.error(message, properties);
  else logger.debug(message, properties);
}

/** At most once a minute for each subscription. */
export function logSkipped(subscription: string, skippedCount: number): void {
  logger.error(
    "Subscription {subscription} exceeded subscription.lag_limit and skipped {skippedCount} events: it never gets them",
    { subscription, skippedCount },
  );
}

export function logHookFailed(hook: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  logger.error("The hook {hook} failed, which does not affect the events: {reason}", { hook, reason });
}

export function logBallastReleased(): void {
  logger.error(
    "The disk is full: deleted the ballast file, so that events can be delivered. Free some space",
  );
}

export function logNoBallast(error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  logger.warn("Cannot create a ballast file beside the queue file: {reason}", { reason });
}

function range({ firstId, lastId, attempts }: Lease): { firstId: number; lastId: number; attempts: number } {
  return { firstId, lastId, attempts };
}
