/**
 * What another process has used, from /proc; NaN where there is none.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** Its CPU time so far, of all its threads, in microseconds. */
export function cpuUsOf(pid: number | undefined): number {
  const fields = read(pid, "stat")?.split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // ticks of 10 ms
}

/** Its memory at its highest, in MB. */
export function maxRssMbOf(pid: number | undefined): number {
  return Number(/VmHWM:\s+(\d+)/.exec(read(pid, "status") ?? "")?.[1] ?? Number.NaN) / 1_000;
}

function read(pid: number | undefined, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
