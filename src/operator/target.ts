import { openSync } from "node:fs";
import { ConfigurationError } from "../errors.ts";

/** Opens a file to append events to, for its owner only where it is made. @throws {ConfigurationError} it cannot be */
export function openTarget(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem = `cannot append to ${path} (${code}): choose a file in a directory that this user may write to.`;
    throw new ConfigurationError(problem, { key: "--to" }, { cause });
  }
}
