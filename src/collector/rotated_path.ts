import { existsSync } from "node:fs";
import { extname } from "node:path";

/** Where a file goes that is rotated away. */
export interface RotatedPath {
  readonly path: string;
  /** Its number. */
  readonly count: number;
}

/**
 * `events.jsonl` becomes `events-20261125T131500Z-000007.jsonl`: names sort by time, in UTC, and the number tells two
 * of one second apart. A name that is taken is passed by.
 */
export function rotatedPath(path: string, time: Date, count: number): RotatedPath {
  const stamp = time.toISOString().replace(/[-:]|\.\d+/g, "");
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  for (let number = count; ; number++) {
    const rotated = `${stem}-${stamp}-${String(number).padStart(6, "0")}${extension}`;
    if (!existsSync(rotated)) return { path: rotated, count: number };
  }
}
