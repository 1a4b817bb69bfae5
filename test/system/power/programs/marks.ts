import { openSync, writeSync } from "node:fs";

/** Returns a function that notes, in a file that no power cut takes, what this program has done or seen. */
export function openMarks(path: string): (text: string) => void {
  const marks = openSync(path, "a");
  return (text) => void writeSync(marks, `${text}\n`);
}
