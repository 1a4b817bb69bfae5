import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { type CollectorOptions, collector } from "../../../src/collector/app.ts";
import { JsonlSink } from "../../../src/collector/sinks/jsonl.ts";
import { SqliteSink } from "../../../src/collector/sinks/sqlite.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { serveApp } from "../../../src/server/serve.ts";
import type { SigningKey } from "../../../src/wire/signature.ts";
import { queueUuid } from "../../support/batches.ts";
import { signedHeaders } from "../../support/signed.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const WEB = { name: "web-1", secret: Buffer.from("the secret of web-1") };
const WEB_NEW = { name: "web-2", secret: Buffer.from("the secret of web-2") };
const OTHER = { name: "other", secret: Buffer.from("the secret of another") };
const KEYS = new Map([WEB, WEB_NEW, OTHER].map(({ name, secret }) => [name, secret]));

interface Answer {
  readonly status: number;
  readonly accepted?: number;
  readonly duplicates?: number;
  readonly error?: string;
}

/** A collector on a real socket, with a real sink. */
class Attacked implements AsyncDisposable {
  readonly status = new CollectorStatus();
  readonly #directory = temporaryDirectory();
  readonly #sink: JsonlSink | SqliteSink;
  readonly #app: ReturnType<typeof collector>;
  #served: Awaited<ReturnType<typeof serveApp>> | undefined;

  constructor(kind: "file" | "sqlite", options: Partial<CollectorOptions> = {}) {
    const path = join(this.#directory.path, "events");
    const fsync = { fsync: "never" } as const;
    this.#sink = kind === "file" ? new JsonlSink(path, fsync) : new SqliteSink(path, fsync);
    this.#app = collector({ keys: KEYS, sink: this.#sink, status: this.status, ...options });
  }

  async send(body: string, headers: Record<string, string>): Promise<Answer> {
    this.#served ??= await serveApp(this.#app, { host: "127.0.0.1", port: 0 });
    const response = await fetch(`${this.#served.address}/v2j`, {
      method: "POST",
      body: gzipSync(body),
      headers: { "Content-Encoding": "gzip", ...headers },
    });
    return { status: response.status, ...((await response.json()) as object) };
  }

  /** What a publisher sends. */
  publish(body: string, ids: string, key: SigningKey = WEB, nowMs: number = Date.now()): Promise<Answer> {
    return this.send(body, signedHeaders(body, ids, { key, nowMs }));
  }

  async health(): Promise<{ status: string; reasons: string[] }> {
    return (await collectorAdmin(this.status).request("/health")).json() as never;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served?.close();
    await this.#sink.close();
    this.#directory[Symbol.dispose]();
  }
}

const IDS = `${queueUuid(1)}:1-3`;
const ALL_NEW = { status: 200, accepted: 3, duplicates: 0 };
const ALL_KNOWN = { status: 200, accepted: 3, duplicates: 3 };

for (const kind of ["file", "sqlite"] as const) {
  test(`${kind}: events that are sent again are dropped`, async () => {
    await using attacked = new Attacked(kind);
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_NEW);
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_KNOWN);
    assert.equal((await attacked.health()).status, "ok");
  });

  test(`${kind}: a captured request that is replayed with other ids makes no event a duplicate`, async () => {
    await using attacked = new Attacked(kind);
    const captured = signedHeaders("[1,2,3]", IDS, { key: WEB });
    await attacked.send("[1,2,3]", captured);
    const forged = { ...captured, "Event-Ids": `${queueUuid(1)}:4-6` };
    assert.deepEqual(await attacked.send("[1,2,3]", forged), ALL_NEW, "stored, and its ids not noted");
    assert.deepEqual(await attacked.publish("[4,5,6]", `${queueUuid(1)}:4-6`), ALL_NEW);
    assert.equal(attacked.status.ignoredIds.bad_mac, 1);
    const { status, reasons } = await attacked.health();
    assert.equal(status, "degraded");
    assert.match(reasons.join(), /The Event-Ids of key web-1 are ignored.*does not fit these ids, this body/);
  });

  test(`${kind}: a signature of ids beside another body makes no event a duplicate`, async () => {
    await using attacked = new Attacked(kind);
    const ids = signedHeaders("[0,0,0]", IDS, { key: WEB });
    const body = signedHeaders("[1,2,3]", "", { key: WEB });
    await attacked.send("[1,2,3]", { ...ids, "X-Signature": body["X-Signature"]! });
    assert.deepEqual(await attacked.publish("[7,8,9]", IDS), ALL_NEW);
  });

  test(`${kind}: ids signed by one key make no event of another a duplicate`, async () => {
    await using attacked = new Attacked(kind);
    const ones = `[${"1,".repeat(99_999)}1]`;
    const taken = await attacked.publish(ones, `${queueUuid(1)}:1-100000`, OTHER);
    assert.equal(taken.accepted, 100_000);
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_NEW);
  });

  test(`${kind}: ids of a batch with fewer events than ids are ignored`, async () => {
    await using attacked = new Attacked(kind);
    await attacked.publish("[1,1]", `${queueUuid(1)}:1-100000`);
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_NEW);
    assert.equal(attacked.status.ignoredIds.malformed, 1);
  });

  test(`${kind}: ids that were signed more than five minutes ago or ahead are ignored`, async () => {
    await using attacked = new Attacked(kind);
    for (const offMs of [-301_000, 400_000]) {
      const answer = await attacked.publish("[1,2,3]", IDS, WEB, Date.now() + offMs);
      assert.deepEqual(answer, ALL_NEW);
    }
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_NEW);
    assert.equal(attacked.status.ignoredIds.clock, 2);
    assert.match(
      (await attacked.health()).reasons.join(),
      /differs from the collector's clock by more than five minutes/,
    );
  });

  test(`${kind}: old publishers without signed ids are accepted and counted`, async () => {
    await using attacked = new Attacked(kind);
    const { "Event-Ids-Signature": _, ...unsigned } = signedHeaders("[1,2,3]", IDS, { key: WEB });
    for (let time = 0; time < 2; time++) assert.deepEqual(await attacked.send("[1,2,3]", unsigned), ALL_NEW);
    const { "Event-Ids": _ids, ...original } = unsigned; // baseplate.py's
    assert.deepEqual(await attacked.send("[1,2,3]", original), ALL_NEW);
    assert.equal(attacked.status.ignoredIds.unsigned, 2);
    assert.equal((await attacked.health()).status, "ok");
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_NEW);
  });

  test(`${kind}: events stored under an old key are duplicates under the key that replaces it`, async () => {
    const keys = new Map([
      [WEB.name, { secret: WEB.secret }],
      [WEB_NEW.name, { secret: WEB_NEW.secret, source: WEB.name }],
    ]);
    await using attacked = new Attacked(kind, { keys });
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS, WEB), ALL_NEW);
    assert.deepEqual(await attacked.publish("[1,2,3]", IDS, WEB_NEW), ALL_KNOWN);
    assert.deepEqual(await attacked.publish("[4]", `${queueUuid(1)}:4`, WEB_NEW), {
      status: 200,
      accepted: 1,
      duplicates: 0,
    });
  });
}

test("a key that requires ids rejects requests without them with a 403: publishers keep their events", async () => {
  const keys = new Map([[WEB.name, { secret: WEB.secret, requireIds: true }]]);
  await using attacked = new Attacked("file", { keys });
  const good = signedHeaders("[1,2,3]", IDS, { key: WEB });
  const { "Event-Ids-Signature": _, ...unsigned } = good;
  const { "Event-Ids": _ids, ...original } = unsigned;
  const stale = signedHeaders("[1,2,3]", IDS, { key: WEB, nowMs: Date.now() - 400_000 });
  for (const headers of [unsigned, original, stale, { ...good, "Event-Ids": `${queueUuid(1)}:4-6` }]) {
    const { status, error } = await attacked.send("[1,2,3]", headers);
    assert.equal(status, 403);
    assert.match(error!, /^The key requires signed Event-Ids: /);
  }
  assert.deepEqual(await attacked.send("[1,2,3]", good), ALL_NEW);
});

test("a queue is remembered after thousands of new queues of another key", async () => {
  await using attacked = new Attacked("file");
  await attacked.publish("[1,2,3]", IDS);
  for (let queue = 2; queue < 2_000; queue += 20) {
    const flood = Array.from({ length: 20 }, (_, n) =>
      attacked.publish("[1]", `${queueUuid(queue + n)}:1`, OTHER),
    );
    await Promise.all(flood);
  }
  assert.deepEqual(await attacked.publish("[1,2,3]", IDS), ALL_KNOWN);
});
