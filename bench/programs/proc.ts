/** CPU and memory of another process, from /proc; NaN without /proc. */
import { readFileSync } from "node:fs";

/** CPU time of all its threads so far, in microseconds. */
export function cpuUsOf(pid: number | undefined): number {
  const fields = read(pid, "stat")?.split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // ticks of 10 ms
}

/** Its peak memory, in MB. */
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
