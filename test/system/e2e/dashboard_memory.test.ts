import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { addressOf, Spool } from "../../support/spool.ts";

const skip = !existsSync("/proc/self/status") && "there is no /proc to read a process's memory from";

/** Updates, one a second: the first are a warm-up. */
const WARM_UP = 10;
const MEASURED = 30;

/** Measured: 2 MB; 66 MB while each update was kept by a promise of its stream. */
const MAX_GROWTH_MB = 20;

function rssMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kb) / 1_000;
}

test("an open dashboard with large dead letters does not grow the publisher", {
  skip,
  timeout: 600_000,
}, async () => {
  using spool = new Spool();
  const large = `${"[".repeat(20)}1${",1".repeat(40_000)}${"]".repeat(20)}`; // 50 KB when it is indented
  insertDeadLetters(
    spool.directory,
    Array.from({ length: 20 }, () => large),
    { status: 422, response: "y".repeat(1_000) },
  );
  await using publisher = spool.publisher({
    "collector.hostname": "127.0.0.1:9",
    "admin.listen": "127.0.0.1:0",
  });
  const response = await fetch(new URL("/events", await addressOf(publisher)));
  const used: number[] = [];
  const decoder = new TextDecoder();
  for await (const chunk of response.body!) {
    const updates = decoder.decode(chunk, { stream: true }).split("\n\n").length - 1;
    for (let update = 0; update < updates; update++) used.push(rssMb(publisher.child.pid!));
    if (used.length >= WARM_UP + MEASURED) break;
  }
  // The least of several: a garbage collector runs now and then.
  const growth = Math.min(...used.slice(-WARM_UP)) - used[WARM_UP - 1]!;
  assert.ok(growth < MAX_GROWTH_MB, `grew by ${growth.toFixed(1)} MB within ${MEASURED} updates`);
});
