import assert from "node:assert/strict";
import { statSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { startCommand } from "../../support/processes.ts";
import { connectTo } from "../../support/raw_http.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, Spool } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };
const PUBLISHER = new URL("../../../src/commands/publisher.ts", import.meta.url);

test(
  "delivers at once while its admin port holds 150 half-open requests, with 128 files allowed",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = ({ numbers }) => ({
      status: 200,
      body: `{"accepted":${numbers.length},"duplicates":0}`,
    });
    const args = spool.publisherArgs({
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "admin.listen": "127.0.0.1:0",
    });
    const [command, rest] = runtimeCommand(PUBLISHER, args);
    await using publisher = startCommand(["bash", ["-c", 'ulimit -n 128; exec "$0" "$@"', command, ...rest]]);
    const url = await addressOf(publisher);
    await publishing(publisher);
    const sockets: Socket[] = [];
    for (let count = 0; count < 150; count++) {
      const socket = await connectTo(url);
      socket.write("GET /health HTTP/1.1\r\nHost: local");
      sockets.push(socket);
    }

    for (let count = 1; count <= 10; count++) {
      spool.put(1);
      await eventually("the delivery", () => spool.queue.depth() === 0);
    }
    const problems = publisher.stderr.filter((line) =>
      /EMFILE|unavailable|cannot|"level":"(WARN|ERROR)/.test(line),
    );
    assert.deepEqual(problems, []);
    for (const socket of sockets) socket.destroy();
    await eventually("an answer", async () => {
      const response = await fetch(new URL("/livez", url), { signal: AbortSignal.timeout(5_000) }).catch(
        () => undefined,
      );
      return response?.status === 200;
    });
  },
);

test("lets only its user connect to its unix socket", LIMIT, async () => {
  using spool = new Spool();
  const path = join(spool.directory, "admin.sock");
  await using publisher = spool.publisher({ "collector.hostname": "127.0.0.1:9", "admin.listen": path });
  await publisher.line(/"Admin at /);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});
