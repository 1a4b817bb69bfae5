/**
 * Gives a Hono app's handlers their event queues.
 *
 * @example
 * ```ts
 * const events = new EventQueue("v2", serializeV2Event);
 * const app = new Hono().use(eventQueues({ eventsV2: events }));
 * app.post("/signup", (c) => {
 *   c.var.eventsV2.put(signupEvent(c));
 *   return c.text("welcome");
 * });
 * ```
 *
 * @module
 */

import type { MiddlewareHandler } from "hono";
import { checkOption, OBJECT, type OptionKind, readOption } from "../options.ts";

/** The part of a queue that a handler uses; every `EventQueue` has it. */
export interface PutsEvents {
  /** Stores an event. `never`: the type is that of the queue that is passed. */
  put(event: never): void;
}

/** The environment of an app with `queues` in `c.var`: `new Hono<EventQueuesEnv<typeof queues>>()`. */
export interface EventQueuesEnv<Queues extends Record<string, PutsEvents>> {
  /** The type of `c.var` in Hono's handlers. */
  Variables: Queues;
}

/**
 * Middleware that sets each queue in `c.var` under its name, with its own type. Open the queues once per process, and
 * close them when the process stops.
 *
 * @throws {ConfigurationError} one of them is not a queue
 */
export function eventQueues<Queues extends Record<string, PutsEvents>>(
  queues: Queues,
): MiddlewareHandler<EventQueuesEnv<Queues>> {
  checkOption("queues", queues, OBJECT);
  const entries = readOption("queues", () => Object.entries(queues) as [string, Queues[string]][]);
  for (const [name, queue] of entries) checkOption(name, queue, QUEUE);
  return async (c, next) => {
    for (const [name, queue] of entries) c.set(name, queue);
    await next();
  };
}

const QUEUE: OptionKind = {
  expected: "an EventQueue",
  matches: (value) => typeof (value as Partial<PutsEvents> | null)?.put === "function",
};
