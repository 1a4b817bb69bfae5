/**
 * Helpers for tests of services that put events: a queue that is removed after the test, and a collector whose
 * responses the test decides.
 *
 * @example
 * ```ts
 * using events = new TestEventQueue("main", serializeJsonEvent);
 * signUp(events, "ann");
 * assert.deepEqual(events.events, [{ action: "signup", user: "ann" }]);
 * ```
 *
 * @module
 */

export type { SigningKey } from "../wire/signature.ts";
export type { FakeCollectorOptions, PublisherSettings, WaitOptions } from "./fake_collector.ts";
export { FakeCollector, publish, WaitTimeoutError } from "./fake_collector.ts";
export type { CollectedRequest, FakeResponse, Responder } from "./responses.ts";
export * as responses from "./responses.ts";
export type { FailOptions, TestEventQueueOptions } from "./test_event_queue.ts";
export { TestEventQueue } from "./test_event_queue.ts";
