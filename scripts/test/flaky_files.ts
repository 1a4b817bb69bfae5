/**
 * Runs failed test files again, to tell a flaky test from a change that breaks something. One test in some thousand
 * that fails once in a hundred runs, for what a browser, a cluster or the machine did, would fail every fourth run.
 *
 * @module
 */
import type { Result } from "./run_suite.ts";

/** How many files are run again. More are no coincidence. */
const MAX_FLAKY_FILES = 2;

/** How often a file must pass by itself, one run after the other, to count as flaky. What a change broke, even for a part of all runs, fails again. */
const FLAKY_PASSES = 3;

/** A test file of a suite. */
export interface FailedFile {
  readonly suite: string;
  readonly file: string;
}

/**
 * Runs the failed files of suites again.
 *
 * @param passes runs one file of a suite, and says whether it passed
 * @returns the files that are flaky, which is all that failed; none: something failed again, or was no test
 */
export async function findFlaky(
  results: readonly Result[],
  passes: (file: FailedFile) => Promise<boolean>,
): Promise<readonly FailedFile[]> {
  const failures = results.filter(({ failed }) => failed > 0);
  const files = failures.flatMap(({ name, failedFiles }) =>
    failedFiles.map((file) => ({ suite: name, file })),
  );
  if (failures.some(({ failedFiles }) => failedFiles.length === 0) || files.length > MAX_FLAKY_FILES)
    return [];
  for (const file of files) for (let run = 0; run < FLAKY_PASSES; run++) if (!(await passes(file))) return [];
  return files;
}
