import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Frees what nobody holds any more. */
export function collectGarbage(): void {
  const { Bun } = globalThis as { Bun?: { gc(isSync: boolean): void } };
  if (process.versions.bun === undefined) setFlagsFromString("--expose-gc");
  const collect: () => void = Bun === undefined ? runInNewContext("gc") : () => Bun.gc(true);
  collect();
}
