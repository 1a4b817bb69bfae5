/**
 * A small event collector, as a Hono app to mount.
 *
 * @module
 */
export type { BatchMeta, CollectorOptions } from "./collector.ts";
export { collector } from "./collector.ts";
export { JsonLinesSink } from "./json_lines_sink.ts";
