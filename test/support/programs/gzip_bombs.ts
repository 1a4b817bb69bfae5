/** Sends a collector ten gzip bombs at once, ten times, and prints by how many MB that made this process grow. */
import assert from "node:assert/strict";
import { memoryUsage } from "node:process";
import { gzipSync } from "node:zlib";
import { collector } from "../../../src/collector/app.ts";
import { memorySink } from "../collector.ts";
import { KEY } from "../keys.ts";
import { signedBatch } from "../signed.ts";

const MB = 1_000_000;

const app = collector({ keys: new Map([[KEY.name, KEY.secret]]), sink: memorySink([]) });
const bomb = gzipSync(Buffer.alloc(200 * MB));
const lie = Buffer.from(bomb);
lie.writeUInt32LE(1, lie.length - 4); // its trailer says that it is a byte
const before = memoryUsage().rss;
let highest = before;
for (let round = 0; round < 10; round++) {
  const requests = Array.from({ length: 10 }, (_, nth) =>
    app.request("/v2j", { ...signedBatch("[1]"), body: new Uint8Array(nth % 2 === 0 ? bomb : lie) }),
  );
  for (const { status } of await Promise.all(requests)) assert.equal(status, 413);
  highest = Math.max(highest, memoryUsage().rss);
}
console.log(String(Math.round((highest - before) / MB)));
