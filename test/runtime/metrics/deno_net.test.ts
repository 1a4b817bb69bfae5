import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { missingUdpPermission } from "../../../src/metrics/statsd.ts";
import { startCommand } from "../../support/processes.ts";
import { listenAsStatsd } from "../../support/statsd.ts";

const LIMIT = { timeout: 300_000 };
const DENO_ONLY = {
  ...LIMIT,
  skip: process.versions.deno === undefined && "only Deno has permissions",
};

/** Sends metrics from a Deno process with `--allow-net=allowed`, until a packet or a warning arrives. */
function sender(port: number, allowed: string[]) {
  const flags = ["--no-prompt", "--no-check", "--allow-read", "--allow-env"];
  const net = allowed.length === 0 ? [] : [`--allow-net=${allowed}`];
  const args = ["run", ...flags, ...net, "test/support/programs/metrics_sender.ts", String(port)];
  return startCommand([process.execPath, args]);
}

test("finds no missing permission when all is allowed", () => {
  assert.equal(missingUdpPermission({ address: "127.0.0.1", family: 4, port: 8125 }), undefined);
  assert.equal(missingUdpPermission({ address: "::1", family: 6, port: 8125 }), undefined);
});

for (const { allowed, missing } of [
  { allowed: [], missing: "0.0.0.0:0,127.0.0.1:PORT" },
  { allowed: ["127.0.0.1"], missing: "0.0.0.0:0" },
  { allowed: ["0.0.0.0:0"], missing: "127.0.0.1:PORT" },
]) {
  test(`names the missing permission and continues, with --allow-net=${allowed}`, DENO_ONLY, async () => {
    await using program = sender(8125, allowed);
    assert.equal(await program.ended, 0, program.stderr.join("\n"));
    assert.deepEqual(program.stdout, [
      `Cannot send metrics to 127.0.0.1:8125: Deno does not allow it: metrics are off; start it with --allow-net=${missing.replace("PORT", "8125")}`,
      "went on",
    ]);
  });
}

test("sends with only the permissions that the warning names", DENO_ONLY, async () => {
  await using statsd = await listenAsStatsd();
  const { port } = statsd.endpoint;
  await using program = sender(port, ["0.0.0.0:0", `127.0.0.1:${port}`]);
  assert.deepEqual(await statsd.packets(1), ["sent:1|c"]);
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
  assert.deepEqual(program.stdout, ["went on"]);
});
