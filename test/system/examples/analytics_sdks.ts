import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Project, ROOT } from "../../support/project.ts";

const INSTALLED = join(ROOT, "bench/node_modules");
const SDKS = ["@segment", "posthog-node", "@posthog"];

/** For tests of examples, whose `from "eventspool"` is src/ under Bun and the built dist/ elsewhere. */
export const NEEDS_BUN: { readonly skip: string | false; readonly timeout: number } = {
  skip: process.versions.bun === undefined && "the examples are `bun examples/...`",
  timeout: 600_000,
};

/** For tests that compare with Segment's and PostHog's own SDKs, which the benchmarks compare with, too. */
export const NEEDS_SDKS: { readonly skip: string | false; readonly timeout: number } = {
  skip: skipReason(),
  timeout: 600_000,
};

/** Lets a project's programs import the SDKs. */
export function linkSdks({ path }: Project): void {
  for (const name of SDKS) symlinkSync(join(INSTALLED, name), join(path, "node_modules", name));
}

function skipReason(): string | false {
  if (NEEDS_BUN.skip !== false) return NEEDS_BUN.skip;
  return !existsSync(join(INSTALLED, "posthog-node")) && "`bun install --cwd bench` has not been run";
}
