/** Hooks of a service that runs a publisher itself. */
import { setInterval } from "node:timers";
import { type Health, type HealthReport, healthOf, type PublisherStatus } from "./health.ts";
import { logHookFailed } from "./log.ts";

/** Events of one batch that the destination accepted, and that are settled in the queue file. */
export interface DeliveredEvents {
  /** The queue's name. */
  readonly queue: string;
  /** The subscription that the publisher serves. */
  readonly subscription: string;
  /** The lowest id that an event of the batch may have. */
  readonly firstId: number;
  /** The highest one. */
  readonly lastId: number;
  /** How many events of the batch were accepted. The others may be rejected or sent again. */
  readonly count: number;
  /** How often the batch was sent, including this time. */
  readonly attempts: number;
  /** The size of the batch before compression, in bytes. */
  readonly sizeBytes: number;
  /** How long the destination took to respond, in milliseconds. */
  readonly durationMs: number;
}

/** An event that became a dead letter. `publisher.deadLetters.get(id)` returns its body. */
export interface NewDeadLetter {
  /** The queue's name. */
  readonly queue: string;
  /** The subscription whose dead letter it is. */
  readonly subscription: string;
  /** The event's id. */
  readonly id: number;
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The beginning of the destination's response. */
  readonly response: string;
}

/**
 * Functions that a publisher calls, for the service's own metrics, logs and alerts. Publishing does not wait for them. An
 * error of a hook is logged and has no other effect. When several publishers share a queue, each reports its own
 * deliveries only.
 */
export interface PublisherHooks {
  /** Called when events were delivered. Default: none. */
  readonly onDelivered?: ((events: DeliveredEvents) => void) | undefined;
  /** Called when an event became a dead letter. Default: none. */
  readonly onDeadLetter?: ((deadLetter: NewDeadLetter) => void) | undefined;
  /**
   * Called within a second when `health` changes; at the start only if it is not `ok`. A change of the reasons alone does
   * not count. Default: none.
   */
  readonly onHealthChange?: ((report: HealthReport) => void) | undefined;
}

/** Calls a hook, if there is one. Never throws. */
export function callHook<Name extends keyof PublisherHooks>(
  hooks: PublisherHooks,
  name: Name,
  argument: Parameters<NonNullable<PublisherHooks[Name]>>[0],
): void {
  const hook = hooks[name] as ((argument: unknown) => unknown) | undefined;
  if (hook === undefined) return;
  const failed = (error: unknown): void => logHookFailed(name, error);
  try {
    void Promise.resolve(hook(argument)).catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** Calls `onHealthChange`, if there is one, until `stop` aborts. */
export function watchHealth(
  hooks: PublisherHooks,
  { status, stop, everyMs }: { status: () => PublisherStatus; stop: AbortSignal; everyMs: number },
): void {
  if (hooks.onHealthChange === undefined || stop.aborted) return;
  let last: Health = "ok";
  const check = (): void => {
    const report = reportOf(status);
    if (report.health === last) return;
    last = report.health;
    callHook(hooks, "onHealthChange", report);
  };
  const timer = setInterval(check, everyMs);
  stop.addEventListener("abort", () => clearInterval(timer), { once: true });
  check();
}

function reportOf(status: () => PublisherStatus): HealthReport {
  try {
    return healthOf(status());
  } catch (error) {
    return { health: "failing", reasons: [`the queue file cannot be read: ${(error as Error).message}`] };
  }
}
