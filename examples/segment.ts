/**
 * The calls of `@segment/analytics-node`. An event is in the queue file when they return. Instead of
 * `new Analytics({ writeKey })`: `import { analytics } from "./segment.ts";`. examples/forward.ts sends them on.
 */
import { EventQueue, serializeJsonEvent } from "eventspool";

/** Segment accepts no larger event. */
const MAX_EVENT_BYTES = 32 * 1_024;

const events = new EventQueue("main", serializeJsonEvent, { maxEventBytes: MAX_EVENT_BYTES });

/** Parameters of all calls. `userId` or `anonymousId` is required. */
export interface Call {
  readonly userId?: string | undefined;
  readonly anonymousId?: string | undefined;
  /** Default: now. */
  readonly timestamp?: Date | string | number | undefined;
  /** By this id Segment drops an event that arrives twice. Default: a new one. */
  readonly messageId?: string | undefined;
  readonly context?: object | undefined;
  readonly integrations?: object | undefined;
}

/** A call with a name, for pages and screens. */
export interface NamedCall extends Call {
  readonly name?: string | undefined;
  readonly category?: string | undefined;
  readonly properties?: object | undefined;
}

/** Segment's calls. They throw if the queue rejects the event; Segment's client drops it silently. */
export const analytics = {
  track: (call: Call & { event: string; properties?: object | undefined }): void => put("track", call),
  identify: (call: Call & { traits?: object | undefined }): void => put("identify", call),
  group: (call: Call & { groupId: string; traits?: object | undefined }): void => put("group", call),
  alias: (call: Call & { userId: string; previousId: string }): void => put("alias", call),
  page: (call: NamedCall): void => put("page", withCategory(call)),
  screen: (call: NamedCall): void => put("screen", withCategory(call)),
};

function withCategory(call: NamedCall): NamedCall {
  return { ...call, properties: { ...call.properties, category: call.category } };
}

function put(type: string, { timestamp, messageId, ...call }: Call): void {
  const [at, id] = [new Date(timestamp ?? Date.now()), messageId ?? crypto.randomUUID()];
  events.put({ type, timestamp: at, messageId: id, ...call });
}
