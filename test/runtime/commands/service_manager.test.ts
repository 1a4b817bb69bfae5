import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { type Program, start } from "../../support/processes.ts";
import { Spool, stop } from "../../support/spool.ts";

/** In systemd's place: a unix datagram socket, which only Python offers, that prints what it receives. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(4096).decode(), flush=True)
`;

const missing = ["systemd-notify", "python3"].filter(
  (name) => spawnSync(name, ["--version"]).error !== undefined,
);
const skip = missing.length > 0 && `not installed here: ${missing.join(", ")}`;

/** What a program tells systemd from its start to its end. */
async function assertTellsSystemd(
  startWith: (spool: Spool, env: Record<string, string>) => Program,
): Promise<void> {
  using spool = new Spool();
  const socket = join(spool.directory, "notify");
  const receiver = spawn("python3", ["-c", RECEIVER, socket], { stdio: ["ignore", "pipe", "inherit"] });
  const told: string[] = [];
  createInterface({ input: receiver.stdout }).on("line", (line) => told.push(line));
  const has = (state: string) => told.some((line) => line.includes(state));
  try {
    await eventually("the socket", () => has("bound"));
    await using program = startWith(spool, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "200000" });
    await eventually("READY=1", () => has("READY=1"));
    await eventually("WATCHDOG=1, again and again", () => told.filter((s) => s === "WATCHDOG=1").length > 2);
    assert.ok(!has("STOPPING=1"));
    assert.equal(await stop(program), 0);
    await eventually("STOPPING=1", () => has("STOPPING=1"));
  } finally {
    receiver.kill();
    await once(receiver, "exit");
  }
}

test("a publisher tells systemd that it is ready, alive and stopping", { timeout: 300_000, skip }, () =>
  assertTellsSystemd((spool, env) => {
    const args = spool.publisherArgs({ "collector.hostname": "127.0.0.1:1" });
    return start("src/commands/publisher.ts", args, env);
  }),
);

test("a collector tells systemd that it is ready, alive and stopping", { timeout: 300_000, skip }, () =>
  assertTellsSystemd((spool, env) => {
    const settings = { listen: "127.0.0.1:0", output: spool.collected, "key.k": KEY_BASE64 };
    const file = spool.write("collector.ini", "event-collector", settings);
    return start("src/commands/collector.ts", [file], env);
  }),
);
