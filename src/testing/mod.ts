/**
 * For the tests of services that put events: a queue that is gone after the test, and a collector that fails as told.
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
export type { Answer, CollectedRequest, Script } from "./answers.ts";
export {
  accept,
  hang,
  loseAnswer,
  maxBytes,
  reject,
  rejectNamed,
  reset,
  retryAfter,
  slow,
  status,
  times,
} from "./answers.ts";
export type { FakeCollectorOptions, WaitOptions } from "./fake_collector.ts";
export { FakeCollector } from "./fake_collector.ts";
export type { PublisherSettings } from "./publish.ts";
export { publish } from "./publish.ts";
export type { FailOptions, TestEventQueueOptions } from "./test_event_queue.ts";
export { TestEventQueue } from "./test_event_queue.ts";
