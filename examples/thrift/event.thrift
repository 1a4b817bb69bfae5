/*
 * An example of a v2 event. Real schemas belong to the team that runs the collector; this one has the
 * usual parts: who did what to what, when, from where.
 *
 * Generate the code with: bun run thrift examples/thrift/event.thrift
 */

namespace js eventspool.example

/** How the service looked to the user. */
enum Theme {
  LIGHT = 1,
  DARK = 2,
}

/** Who caused the event. */
struct User {
  1: optional string id;
  2: optional bool logged_in;
  /** Milliseconds since 1970. */
  3: optional i64 created_timestamp;
  4: optional string cookie_created;
  /** Experiments and features the user takes part in. */
  5: optional set<string> flags;
}

/** The HTTP request during which the event happened. */
struct Request {
  1: optional string user_agent;
  2: optional string domain;
  3: optional string base_url;
  4: optional i32 port;
  5: optional map<string, string> extra;
}

/** Where the request came from. */
struct Geo {
  /** ISO 3166-1 alpha-2, such as DE. */
  1: optional string country_code;
  /** Degrees north. */
  2: optional double lat;
  /** Degrees east. */
  3: optional double lon;
}

/** The result of the action. */
struct ActionInfo {
  1: optional string type;
  2: optional string reason;
  3: optional i64 count;
  4: optional bool success;
}

/** Something that happened: a user viewed a page, a job ran. */
struct Event {
  /** The part of the product, such as web. */
  1: string source;
  /** What was done, such as view. */
  2: string action;
  /** What it was done to, such as page. */
  3: string noun;
  /** When, in milliseconds since 1970. */
  4: i64 client_timestamp;
  /** Unique, so that the collector can drop a second delivery. */
  5: string uuid;
  6: optional User user;
  7: optional Request request;
  8: optional Geo geo;
  9: optional ActionInfo action_info;
  10: optional list<string> tags;
  11: optional map<string, string> labels;
  12: optional bool is_debug;
  13: optional Theme theme;
}
