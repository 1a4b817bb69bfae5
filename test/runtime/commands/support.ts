import assert from "node:assert/strict";

/** What a command that has ended left behind. */
export interface Result {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: readonly string[];
}

/**
 * Asserts that a command ended with 2 and said why in one line: no stack, nothing on stdout. For a wrong
 * command line, `command` names the one whose help a second line points to.
 */
export function assertRejection({ code, stdout, stderr }: Result, reason: RegExp, command?: string): void {
  assert.match(stderr[0] ?? "", reason);
  assert.deepEqual(stderr.slice(1), command === undefined ? [] : [`Try ${command} --help.`]);
  assert.equal(stdout, "");
  assert.equal(code, 2);
}
