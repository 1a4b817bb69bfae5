/**
 * What a service that runs a publisher itself is told.
 *
 * @module
 */
import { setInterval } from "node:timers";
import { type Health, type HealthReport, healthOf, type PublisherStatus } from "./health.ts";
import { logHookFailed } from "./log.ts";

/** Events of one batch that the destination accepted, and that are settled in the queue's file. */
export interface DeliveredEvents {
  /** The queue's name. */
  readonly queue: string;
  /** The lowest id that an event of the batch may have. */
  readonly firstId: number;
  /** The highest one. */
  readonly lastId: number;
  /** How many events of the batch were accepted; others of it may be rejected, or be sent again. */
  readonly count: number;
  /** How often the batch was sent, this time included. */
  readonly attempts: number;
  /** How large the batch was before compression, in bytes. */
  readonly sizeBytes: number;
  /** How long the destination took to respond, in milliseconds. */
  readonly durationMs: number;
}

/** An event that has become a dead letter: `publisher.deadLetters.get(id)` has its body. */
export interface NewDeadLetter {
  /** The queue's name. */
  readonly queue: string;
  /** The event's id. */
  readonly id: number;
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The beginning of the destination's response. */
  readonly response: string;
}

/**
 * Functions that a publisher calls. They are for metrics, logs and alerts of the service's own: publishing waits for none
 * of them, and what one throws or rejects with is logged and changes nothing. Several publishers of a queue tell of their
 * own deliveries only.
 */
export interface PublisherHooks {
  /** Is told of events that were delivered. Default: none. */
  readonly onDelivered?: ((events: DeliveredEvents) => void) | undefined;
  /** Is told of an event that became a dead letter. Default: none. */
  readonly onDeadLetter?: ((letter: NewDeadLetter) => void) | undefined;
  /**
   * Is told when `health` is another than before, within a second; at the start only if it is not `ok`. Reasons that
   * change while `health` stays do not count. Default: none.
   */
  readonly onHealthChange?: ((report: HealthReport) => void) | undefined;
}

/** How often the health is looked at for {@link PublisherHooks.onHealthChange}, in milliseconds. */
const HEALTH_INTERVAL_MS = 1_000;

/** Calls a hook, if there is one. Never throws. */
export function callHook<Name extends keyof PublisherHooks>(
  hooks: PublisherHooks,
  name: Name,
  about: Parameters<NonNullable<PublisherHooks[Name]>>[0],
): void {
  const hook = hooks[name] as ((of: typeof about) => unknown) | undefined;
  if (hook === undefined) return;
  const failed = (error: unknown): void => logHookFailed(name, error);
  try {
    void Promise.resolve(hook(about)).catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** Calls `onHealthChange`, if there is one, until `stop` aborts. */
export function watchHealth(
  hooks: PublisherHooks,
  { status, stop }: { status: () => PublisherStatus; stop: AbortSignal },
): void {
  if (hooks.onHealthChange === undefined || stop.aborted) return;
  let last: Health = "ok";
  const look = (): void => {
    const report = reportOf(status);
    if (report.health === last) return;
    last = report.health;
    callHook(hooks, "onHealthChange", report);
  };
  const timer = setInterval(look, HEALTH_INTERVAL_MS);
  stop.addEventListener("abort", () => clearInterval(timer), { once: true });
  look();
}

function reportOf(status: () => PublisherStatus): HealthReport {
  try {
    return healthOf(status());
  } catch (error) {
    return { health: "failing", reasons: [`the queue file cannot be read: ${(error as Error).message}`] };
  }
}
