import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { streamRisks } from "../../../src/nats/streams.ts";
import { readPage } from "../../support/doc_page.ts";
import { NATS_SERVER, NO_NATS } from "../../support/nats.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tableBelow } from "./source_text.ts";

test("docs/jetstream.md has a row for each setting that puts events at risk, and no other", () => {
  const config = {
    name: "EVENTS",
    no_ack: true,
    mirror: {},
    sealed: true,
    storage: "memory",
    persist_mode: "async",
    max_msgs_per_subject: 1,
    max_age: 1,
    max_msg_size: 1,
  } as const;
  const cluster = { name: "C" };
  const risks = [
    ...streamRisks({ config: { ...config, retention: "interest" }, cluster }, { timeoutMs: 10_000 }),
    ...streamRisks({ config: { name: "EVENTS", retention: "workqueue" } }, { timeoutMs: 10_000 }),
  ];
  const named = new Set(
    risks.map((risk) => /^stream EVENTS: ([\w]+(?:=[a-z]+)?)/.exec(risk)![1]!.replace("=true", "")),
  );
  const rows = tableBelow(readPage("docs/jetstream.md"), "### Settings that put events at risk");
  const shown = rows.map(([setting]) => setting!.replaceAll("`", ""));
  for (const setting of named)
    assert.ok(
      shown.some((row) => row.includes(setting)),
      `no row has ${setting}`,
    );
  assert.equal(rows.length + 1, named.size, "a mirror and sealed share a row");
});

test("nats-server knows sync_interval from 2.10 on, as docs/jetstream.md says", {
  skip: NO_NATS,
}, () => {
  const [, major, minor] = /v(\d+)\.(\d+)/.exec(
    spawnSync(NATS_SERVER!, ["--version"], { encoding: "utf8" }).stdout,
  )!;
  const isKnown = Number(major) > 2 || Number(minor) >= 10;
  using directory = temporaryDirectory();
  const path = join(directory.path, "nats.conf");
  writeFileSync(path, `jetstream { store_dir: "${directory.path}", sync_interval: 1s }`);
  const { status, stderr } = spawnSync(NATS_SERVER!, ["-t", "-c", path], { encoding: "utf8" });
  if (isKnown) return assert.equal(status, 0, stderr);
  assert.notEqual(status, 0);
  assert.match(stderr, /unknown field "sync_interval"/);
  assert.match(readPage("docs/jetstream.md"), /`unknown field "sync_interval"`/);
});
