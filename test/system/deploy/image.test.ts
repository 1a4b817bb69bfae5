import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FakeCollector } from "../../../src/testing/mod.ts";
import { readDeployment, readDockerfile, words } from "../../support/deployment.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import type { Program } from "../../support/processes.ts";
import { addressOf, publishing, stop } from "../../support/spool.ts";
import { Image, NEEDS_IMAGE } from "./image.ts";

const dockerfile = readDockerfile();
/** The last instruction of a name: that of the publisher, the last image. */
const last = (name: string): string => dockerfile.findLast((instruction) => instruction.name === name)!.value;
const COMMAND = [...words(last("ENTRYPOINT")), ...words(last("CMD"))];
const HEALTH_CHECK = words(last("HEALTHCHECK").replace(/^.* CMD /, ""));
const NOBODY = "65534:65534";

/** Puts events by the `queue` command of the image, as its user. */
async function put(image: Image, lines: string): Promise<void> {
  await using queue = image.start(["bun", "src/commands/queue.ts", "put"]);
  queue.child.stdin!.end(lines);
  assert.equal(await queue.ended, 0, queue.stderr.join("\n"));
}

async function statusOf(program: Program): Promise<number | string> {
  await using ending = program;
  return await ending.ended; // not killed before
}

for (const user of [last("USER"), NOBODY])
  test(
    `has an image whose command publishes as user ${user} on a read-only root, and stops`,
    NEEDS_IMAGE,
    async () => {
      await using collector = await FakeCollector.open({ key: { name: "web", secret: KEY.secret } });
      using image = new Image(user);
      image.write("etc/eventspool/publisher.ini", readDeployment("docker/eventspool.ini"));
      await using publisher = image.start(COMMAND, {
        COLLECTOR: `127.0.0.1:${collector.port}`,
        EVENTS_KEY_SECRET: KEY_BASE64,
        ADMIN_LISTEN: "127.0.0.1:0",
      });
      await publishing(publisher);
      await put(image, '{"n":1}\n{"n":2}\n');
      const LIVEZ_URL = new URL("/livez", await addressOf(publisher)).href;
      assert.equal(await statusOf(image.start(HEALTH_CHECK, { LIVEZ_URL })), 0);
      await collector.waitFor(2, { timeoutMs: 150_000 });

      assert.equal(await stop(publisher), 0);
      assert.equal(await statusOf(image.start(HEALTH_CHECK, { LIVEZ_URL })), 1);
      for (const name of readdirSync(image.volume))
        assert.equal(statSync(join(image.volume, name)).uid, Number(user.split(":")[0]), name);
    },
  );
