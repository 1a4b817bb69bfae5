import { readFileSync } from "node:fs";

/** What the original really wrote, read and sent: see test/vectors/README.md. */
export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8")) as T;
}
