/**
 * What each step of the collector costs alone: CPU per event, in microseconds. `JSON.parse` is measured too, because the
 * scanner replaces it.
 */
import { isUtf8 } from "node:buffer";
import { createHmac } from "node:crypto";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { parseEvents } from "../../src/collector/batch_parser.ts";
import { BATCH_EVENTS, BENCH_KEY, makeBatch } from "./batches.ts";

const RUNS = 400;

const v2j = Array.from({ length: 20 }, () => makeBatch("2j"));
const v2 = Array.from({ length: 20 }, () => makeBatch("2"));

/** @param version the format of the batches */
function measure(step: (nth: number) => unknown, version: "2" | "2j"): number {
  for (let run = 0; run < 40; run++) step(run % 20);
  const before = process.cpuUsage();
  for (let run = 0; run < RUNS; run++) step(run % 20);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / RUNS / BATCH_EVENTS[version];
}

const steps = {
  gunzip: (nth: number) => gunzipSync(v2j[nth]!.compressed, { chunkSize: v2j[nth]!.body.length + 1 }),
  hmac: (nth: number) => createHmac("sha256", BENCH_KEY.secret).update(v2j[nth]!.body).digest(),
  isUtf8: (nth: number) => isUtf8(v2j[nth]!.body),
  parse2j: (nth: number) => parseEvents(v2j[nth]!.body, "2j"),
  parse2: (nth: number) => parseEvents(v2[nth]!.body, "2"),
  jsonParse: (nth: number) => JSON.parse(v2j[nth]!.body.toString()),
  jsonParse2: (nth: number) => JSON.parse(v2[nth]!.body.toString()),
  lines: (nth: number) => parseEvents(v2j[nth]!.body, "2j").events.lines(),
};
const figures = Object.entries(steps).map(([name, step]) => [
  name,
  Number(measure(step, name.endsWith("2") ? "2" : "2j").toFixed(3)),
]);
console.log(JSON.stringify(Object.fromEntries(figures)));
