/**
 * What the publisher says, all of it.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import type { Lease } from "../storage/leases.ts";

const logger = getLogger(["eventspool", "publisher"]);

export function logStarted(about: { queue: string; file: string; url: string }): void {
  logger.info("Publishing queue {queue} ({file}) to {url}", about);
}

export function logMoved(file: string): void {
  logger.warn(
    "The queue file {file} was moved, copied or restored, or the machine restarted: events put from now on get a new identity",
    { file },
  );
}

export function logRolledBack(lease: Lease, duplicates: number): void {
  logger.error(
    "The destination already had {duplicates} of the events {firstId} to {lastId}, which were never sent before, so the queue file was rolled back, or a proxy sends requests twice; they are sent again under a new identity and may arrive twice",
    { ...range(lease), duplicates },
  );
}

export function logExposed(problem: string, advice: string): void {
  logger.warn("Others may change the queue: {problem}: {advice}", { problem, advice });
}

export function logKnown(lease: Lease, duplicates: number): void {
  logger.warn(
    "The destination already had {duplicates} of the events {firstId} to {lastId}, which were in the queue file when it was moved, copied or restored: they are taken for the same events, and not sent again",
    { ...range(lease), duplicates },
  );
}

export function logStopping(inFlight: number, graceMs: number): void {
  logger.info("Stopping: batches in flight ({inFlight}) have {graceMs} ms to finish", { inFlight, graceMs });
}

export function logStopped(about: { delivered: number; depth: number }): void {
  logger.info("Stopped: {delivered} events delivered, {depth} stay in the queue", about);
}

export function logDelivered(lease: Lease, count: number, durationMs: number): void {
  logger.debug("Delivered {count} events in {durationMs} ms", {
    ...range(lease),
    count,
    durationMs: Math.round(durationMs),
  });
}

export function logUnavailable(lease: Lease, reason: string, retryInMs: number): void {
  logger.warn("The collector cannot take events now, sending again in {retryInMs} ms: {reason}", {
    ...range(lease),
    reason,
    retryInMs: Math.round(retryInMs),
  });
}

export function logRecovered(failingForMs: number): void {
  logger.info("The collector answers again, after {failingForMs} ms", {
    failingForMs: Math.round(failingForMs),
  });
}

export function logMisconfigured(lease: Lease, reason: string, retryInMs: number): void {
  logger.error(
    "The collector takes no events from us, so its address or our key is wrong; the events are kept, trying again in {retryInMs} ms: {reason}",
    { ...range(lease), reason, retryInMs: Math.round(retryInMs) },
  );
}

export function logSplit(lease: Lease, status: number, response: string): void {
  logger.warn(
    "The collector rejected a batch ({status}), halving it to find the event at fault: {response}",
    {
      ...range(lease),
      status,
      response,
    },
  );
}

export function logDeadLetter(lease: Lease, status: number, response: string): void {
  logger.error("The collector rejected event {firstId} ({status}), kept as a dead letter: {response}", {
    ...range(lease),
    status,
    response,
  });
}

export function logHeld(lease: Lease, status: number, response: string, retryInMs: number): void {
  logger.error(
    "The collector rejects too many events for each to be at fault ({status}), so schema, collector.version or collector are wrong; the events are kept in the queue, trying again in {retryInMs} ms: {response}",
    { ...range(lease), status, response, retryInMs: Math.round(retryInMs) },
  );
}

export function logDropped(droppedCount: number): void {
  logger.error("Dropped {droppedCount} of the oldest dead letters to make room for a new one", {
    droppedCount,
  });
}

export function logRetried(retriedCount: number): void {
  logger.info("Put dead letters back into the queue: {retriedCount}", { retriedCount });
}

export function logPurged(purgedCount: number): void {
  logger.warn("Purged dead letters: {purgedCount}", { purgedCount });
}

export function logShrunk(sizeBytes: number, maxBytes: number): void {
  logger.warn(
    "A batch of {sizeBytes} bytes is too large for the collector, {maxBytes} are sent at most now",
    {
      sizeBytes,
      maxBytes,
    },
  );
}

export function logLeaseLost(lease: Lease): void {
  logger.warn(
    "The lease of events {firstId} to {lastId} ran out and another publisher has it: they may be delivered twice",
    range(lease),
  );
}

/** An error once, and then in the debug log only. */
export function logStorageFailure(
  reason: string,
  { retryInMs, isNews }: { retryInMs: number; isNews: boolean },
): void {
  const properties = { reason, retryInMs: Math.round(retryInMs) };
  const message = "The queue file fails, trying again in {retryInMs} ms: {reason}";
  if (isNews) logger.error(message, properties);
  else logger.debug(message, properties);
}

export function logHookFailed(hook: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  logger.error("The hook {hook} failed, which changes nothing for the events: {reason}", { hook, reason });
}

export function logBallastReleased(): void {
  logger.error("The disk is full: gave up the ballast, so that the queue can be delivered. Free some space");
}

export function logNoBallast(error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  logger.warn("Cannot keep a ballast for a full disk beside the queue file: {reason}", { reason });
}

function range({ firstId, lastId, attempts }: Lease): { firstId: number; lastId: number; attempts: number } {
  return { firstId, lastId, attempts };
}
