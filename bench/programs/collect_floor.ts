/**
 * The minimum work of a collector in a bare loop without a network: gunzip, HMAC, append to a file; with `parses` also
 * JSON.parse. `{"directory", "events", "parses"}`.
 */
import { createHmac } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { BATCH_EVENTS, type Batch, BENCH_KEY, makeBatch } from "./batches.ts";

const { directory, events, parses } = JSON.parse(process.argv[2] ?? "{}") as {
  directory: string;
  events: number;
  parses: boolean;
};
const batches = Array.from({ length: 20 }, () => makeBatch("2j"));
const own = mkdtempSync(join(directory, "floor-"));
const file = openSync(join(own, "events.jsonl"), "a");
const requests = Math.ceil(events / BATCH_EVENTS["2j"]);

function take(requests: number): void {
  for (let nth = 0; nth < requests; nth++) {
    const body = gunzipSync((batches[nth % batches.length] as Batch).compressed);
    createHmac("sha256", BENCH_KEY.secret).update(body).digest();
    if (parses) JSON.parse(body.toString());
    writeSync(file, body);
  }
}

take(Math.ceil(requests / 10));
const startedAtMs = performance.now();
const before = process.cpuUsage();
take(requests);
const { user, system } = process.cpuUsage(before);
const count = requests * BATCH_EVENTS["2j"];
const cpuUs = (user + system) / count;
const perS = (count / (performance.now() - startedAtMs)) * 1_000;
console.log(JSON.stringify({ perS, cpuUs, perCoreS: 1_000_000 / cpuUs }));
closeSync(file);
rmSync(own, { recursive: true, force: true });
