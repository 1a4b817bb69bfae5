/**
 * `bun scripts/test_oldest_node.ts REPORT`: the tests of what services use (store, queue, serializers), under the
 * oldest Node that package.json admits; writes a JUnit report. That Node does not know `using`, so tsc
 * compiles it away, as it does in what is published.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { OLDEST_NODE } from "./runtimes.ts";

const HOOKS = fileURLToPath(new URL("oldest_node/hooks.ts", import.meta.url));
const TESTS = "test/unit/{storage,queue,serializers}/**/*.test.ts";

const [report = "report.xml"] = process.argv.slice(2);
const compiled = mkdtempSync(join(tmpdir(), "eventspool-compiled-"));
const emit = ["--noEmit", "false", "--declaration", "false", "--isolatedDeclarations", "false"];
const status =
  bun(["x", "tsc", "-p", ".", ...emit, "--outDir", compiled]) ||
  bun(
    [
      ...["x", OLDEST_NODE, "--test", "--test-reporter=spec", "--test-reporter-destination=stdout"],
      ...["--test-reporter=junit", `--test-reporter-destination=${report}`, TESTS],
    ],
    // Not for tsc: it runs under the machine's own Node, which may be older than these hooks.
    { COMPILED_DIRECTORY: compiled, NODE_OPTIONS: `--import=${HOOKS}` },
  );
rmSync(compiled, { recursive: true });
process.exit(status);

function bun(args: readonly string[], env: Record<string, string> = {}): number {
  return spawnSync(process.execPath, args, { stdio: "inherit", env: { ...process.env, ...env } }).status ?? 1;
}
