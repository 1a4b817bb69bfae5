import assert from "node:assert/strict";
import { start } from "./processes.ts";

/** What a command that has ended left behind. */
export interface Result {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: readonly string[];
}

/** Runs a command of `src/commands` to its end: `runCommand("publisher", ["--help"])`. */
export async function runCommand(
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Result> {
  await using program = start(`src/commands/${name}.ts`, args, env);
  const code = await program.ended;
  return { code, stdout: program.stdout.join("\n"), stderr: program.stderr };
}

/**
 * Asserts that a command ended with 2 and said why in one line: no stack, nothing on stdout. For a wrong
 * command line, a second line has the command that prints help.
 */
export function assertRejection(
  { code, stdout, stderr }: Result,
  reason: RegExp,
  { isUsage = false }: { isUsage?: boolean } = {},
): void {
  assert.match(stderr[0] ?? "", reason);
  assert.equal(stderr.length, isUsage ? 2 : 1, stderr.join("\n"));
  if (isUsage) assert.match(stderr[1]!, /^Help: .*\.ts --help$/);
  assert.equal(stdout, "");
  assert.equal(code, 2);
}
