/**
 * A collector that marks what it has seen, before it answers: `seen STATUS EVENT_IDS EVENTS`. It rejects events that
 * are poison when they come first, and is not available now and then: `collector.ts MARKS`. Prints its port.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { argv } from "node:process";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { EVENT_IDS_HEADER } from "../../../../src/wire/event_ids.ts";
import { formatReport } from "../../../../src/wire/rejections.ts";
import { openMarks } from "./marks.ts";

const mark = openMarks(argv[2]!);
const rejectedOnce = new Set<number>();
let requests = 0;
const server = createServer(async (request, response) => {
  const body = gunzipSync(await buffer(request)).toString();
  const events = JSON.parse(body) as { n: number; is: string }[];
  const isPoison = ({ n, is }: { n: number; is: string }): boolean => is === "poison" && !rejectedOnce.has(n);
  const rejected = events.flatMap((event, index) => (isPoison(event) ? [{ index, error: "poison" }] : []));
  const status = ++requests % 7 === 0 ? 503 : rejected.length > 0 ? 422 : 200;
  const seen = events.map((event) => ({ n: event.n, isRejected: isPoison(event) }));
  mark(`seen ${status} ${request.headers[EVENT_IDS_HEADER.toLowerCase()]} ${JSON.stringify(seen)}`);
  if (status === 422) for (const { index } of rejected) rejectedOnce.add(events[index]!.n);
  response.writeHead(status, { "Content-Type": "application/json" });
  if (status === 503) response.end('{"error": "busy"}');
  else response.end(formatReport({ accepted: events.length - rejected.length, duplicates: 0, rejected }));
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
