import process from "node:process";
import { fileURLToPath } from "node:url";

/** The command and arguments that run a TypeScript file under the runtime the tests run under. */
export function runtimeCommand(file: string | URL, args: readonly string[] = []): [string, string[]] {
  const path = file instanceof URL ? fileURLToPath(file) : file;
  const run = process.versions.deno === undefined ? [] : ["run", "-A"];
  return [process.execPath, [...run, path, ...args]];
}
