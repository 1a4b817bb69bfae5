/**
 * The calls of `posthog-node`. An event is in the queue file when they return. Instead of
 * `new PostHog(KEY)`: `import { posthog } from "./posthog.ts";`. examples/forward.ts sends them on. Use its SDK
 * for feature flags and everything else that asks PostHog.
 */
import { EventQueue, serializeJsonEvent } from "eventspool";

const events = new EventQueue("main", serializeJsonEvent);

/** posthog-node adds this to events of a server, because its address is not the user's. */
const OF_A_SERVER = { $lib: "eventspool", $is_server: true, $geoip_disable: true };

/** Parameters of `capture`. */
export interface Capture {
  readonly distinctId: string;
  readonly event: string;
  readonly properties?: Readonly<Record<string, unknown>> | undefined;
  readonly groups?: Readonly<Record<string, string | number>> | undefined;
  /** Default: now. */
  readonly timestamp?: Date | undefined;
  /** By this id PostHog drops an event that arrives twice. Default: a new one. */
  readonly uuid?: string | undefined;
}

/** Parameters of `identify`: properties of the person, directly or in `$set` and `$set_once`. */
export interface Identify {
  readonly distinctId: string;
  readonly properties?: Readonly<Record<string, unknown>> | undefined;
}

/** Parameters of `groupIdentify`. */
export interface GroupIdentify {
  readonly groupType: string;
  readonly groupKey: string;
  readonly properties?: Readonly<Record<string, unknown>> | undefined;
  readonly distinctId?: string | undefined;
}

/** PostHog's calls. They throw if the queue rejects the event; posthog-node drops its oldest event instead. */
export const posthog = {
  capture: ({ distinctId, event, properties, groups, ...rest }: Capture): void =>
    put(distinctId, event, { ...properties, $groups: groups }, rest),

  identify: ({ distinctId, properties = {} }: Identify): void => {
    const { $set, $set_once = {}, ...others } = properties;
    put(distinctId, "$identify", { $set: $set ?? others, $set_once });
  },

  alias: ({ distinctId, alias }: { distinctId: string; alias: string }): void =>
    put(distinctId, "$create_alias", { distinct_id: distinctId, alias }),

  groupIdentify: ({ groupType, groupKey, properties = {}, distinctId }: GroupIdentify): void =>
    put(distinctId ?? `$${groupType}_${groupKey}`, "$groupidentify", {
      $group_type: groupType,
      $group_key: groupKey,
      $group_set: properties,
    }),
};

function put(
  distinct_id: string,
  event: string,
  properties: object,
  { timestamp = new Date(), uuid = crypto.randomUUID() }: Pick<Capture, "timestamp" | "uuid"> = {},
): void {
  events.put({ event, distinct_id, timestamp, uuid, properties: { ...OF_A_SERVER, ...properties } });
}
