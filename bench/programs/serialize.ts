/**
 * Serializes a 15-field event to Thrift JSON with `ours`, or with `npm thrift`, whose TJSONProtocol cannot write a bare
 * struct and so writes it in a message, as its RPC does. `put` serializes with ours and puts, durably.
 */
import thrift from "thrift";
import { Event } from "../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventQueue } from "../../src/mod.ts";
import { serializeV2Event } from "../../src/serializers/thrift.ts";
import { measure, ownDirectory } from "./rounds.ts";

/** 15 fields, including those of the nested structs. */
const fields = {
  source: "web",
  action: "view",
  noun: "page",
  client_timestamp: 1_790_000_000_000,
  uuid: "8b9c1c8e-3f53-4c6f-9d0e-0a3c8f1b2d4e",
  user: { id: "t2_abc123", logged_in: true },
  request: { user_agent: "Mozilla/5.0", domain: "example.com", port: 443 },
  geo: { country_code: "DE", lat: 52.5 },
  action_info: { type: "link", success: true },
  is_debug: false,
};
const event = new Event(fields as never);

function withNpmThrift(): () => void {
  const { TJSONProtocol, TBufferedTransport } = thrift as unknown as typeof import("thrift");
  const transport = new TBufferedTransport(undefined, () => {});
  const protocol = new TJSONProtocol(transport);
  return () => {
    protocol.writeMessageBegin("event", 1, 0);
    (event as { write(output: unknown): void }).write(protocol);
    protocol.writeMessageEnd();
    protocol.flush();
  };
}

const engines: Record<string, () => () => void> = {
  ours: () => () => void serializeV2Event(event as never),
  "npm thrift": withNpmThrift,
  put: () => {
    const queue = new EventQueue("main", serializeV2Event, { directory: ownDirectory(), maxEvents: 1e9 });
    return () => queue.put(event as never);
  },
};
const name = process.argv[3] ?? "ours";
await measure({ one: (engines[name] as () => () => void)() });
process.exit();
