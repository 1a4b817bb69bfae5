import assert from "node:assert/strict";
import { test } from "node:test";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { type CollectorOptions, collector } from "../../../src/collector/app.ts";
import type { AcceptedBatch, StoreResult } from "../../../src/collector/sinks/sink.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { memorySink } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY } from "../../support/keys.ts";
import { signatureOf, signedBatch } from "../../support/signed.ts";

/** A sink that stores batches on command. */
class SlowSink {
  readonly waiting: { readonly keep: () => void; readonly fail: (reason: unknown) => void }[] = [];

  store({ events }: AcceptedBatch): Promise<StoreResult> {
    const { promise, resolve, reject } = Promise.withResolvers<StoreResult>();
    const stored = { stored: events.count, duplicates: 0 };
    this.waiting.push({ keep: () => resolve(stored), fail: reject });
    return promise;
  }

  /** Resolves once this many batches wait. */
  async holds(count: number): Promise<void> {
    await eventually(`${count} batches`, () => this.waiting.length >= count);
  }
}

function open(options: Partial<CollectorOptions> = {}) {
  const status = new CollectorStatus();
  const sink = new SlowSink();
  const app = collector({ keys: new Map([[KEY.name, KEY.secret]]), sink, status, ...options });
  return { app, status, sink };
}

/** A request that records whether its body was read. */
function watchedRequest(signature: string): { init: RequestInit; wasRead: () => boolean } {
  let isRead = false;
  const body = new ReadableStream(
    {
      pull(controller) {
        isRead = true;
        controller.enqueue(Buffer.from("[1]"));
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const init = { method: "POST", body, duplex: "half", headers: { "X-Signature": signature } } as RequestInit;
  return { init, wasRead: () => isRead };
}

test("the body of a request without a signature or with an unknown key is not read", async () => {
  const { app, status } = open({ sink: memorySink([]) });
  for (const signature of ["", "key=x", signatureOf("[1]", { name: "nobody", secret: KEY.secret })]) {
    const { init, wasRead } = watchedRequest(signature);
    assert.equal((await app.request("/v2j", init)).status, 403);
    assert.equal(wasRead(), false, signature);
  }
  const { init, wasRead } = watchedRequest(signatureOf("[1]"));
  assert.equal((await app.request("/v2j", init)).status, 200);
  assert.equal(wasRead(), true, "else this test shows nothing");
  assert.equal(status.requests.unauthorized, 3);
});

for (const [what, limits] of [
  ["as many requests as it may", { maxRequests: 2 }],
  ["as many bytes as it may", { maxPendingBytes: 5 }],
] as const) {
  test(`with ${what}, a request gets a 503 before it is read; later requests are accepted`, async () => {
    const { app, status, sink } = open(limits);
    const running = [app.request("/v2j", signedBatch("[1]")), app.request("/v2j", signedBatch("[2]"))];
    await sink.holds(2);
    assert.deepEqual([status.pendingRequests, status.pendingBytes], [2, 6]);
    const { init, wasRead } = watchedRequest(signatureOf("[1]"));
    const answer = await app.request("/v2j", init);
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("Retry-After"), "1");
    assert.equal(wasRead(), false);
    assert.equal(status.requests.overloaded, 1);

    for (const { keep } of sink.waiting) keep();
    for (const one of running) assert.equal((await one).status, 200);
    assert.deepEqual([status.pendingRequests, status.pendingBytes], [0, 0]);
    const next = app.request("/v2j", signedBatch("[3]"));
    await sink.holds(3);
    sink.waiting[2]!.keep();
    assert.equal((await next).status, 200);
  });
}

test("requests that were rejected or aborted hold no memory", async () => {
  const { app, status } = open({ sink: memorySink([]) });
  const broken = new ReadableStream({
    start: (controller) => controller.error(new Error("connection reset")),
  });
  const requests: RequestInit[] = [
    signedBatch("[1"),
    { ...signedBatch("[1]"), body: "no gzip" },
    signedBatch("[1]", { "X-Signature": signatureOf("[2]") }),
    { ...signedBatch("[1]"), body: broken, duplex: "half" } as RequestInit,
  ];
  for (const init of requests) {
    assert.ok((await app.request("/v2j", init)).status >= 400);
    assert.deepEqual([status.readingRequests, status.readingBytes], [0, 0]);
    assert.deepEqual([status.pendingRequests, status.pendingBytes], [0, 0]);
  }
});

test("Retry-After doubles with each failure of the sink, and the collector is ready again later", async () => {
  const { app, status, sink } = open();
  const admin = collectorAdmin(status);
  const fail = async (): Promise<Response> => {
    const running = app.request("/v2j", signedBatch("[1]"));
    const nth = sink.waiting.length + 1;
    await sink.holds(nth);
    sink.waiting[nth - 1]!.fail(new Error("ENOSPC: no space left on device"));
    return running;
  };
  const waits: (string | null)[] = [];
  for (let time = 0; time < 8; time++) waits.push((await fail()).headers.get("Retry-After"));
  assert.deepEqual(waits, ["1", "2", "4", "8", "16", "32", "32", "32"]);

  const health = await admin.request("/health");
  assert.equal(health.status, 503);
  const told = (await health.json()) as Record<string, unknown>;
  assert.equal(told.status, "failing");
  assert.deepEqual(told.reasons, ["The sink has failed 8 times in a row: ENOSPC: no space left on device"]);
  assert.equal((told.last_error as { message: string }).message, "ENOSPC: no space left on device");
  assert.equal(told.failures_in_a_row, 8);
  assert.equal((await app.request("/readyz")).status, 503);
  status.lastFailure = { ...status.lastFailure!, atMs: Date.now() - 60_000 };
  assert.equal((await app.request("/readyz")).status, 200, "so that a load balancer tries it again");

  const running = app.request("/v2j", signedBatch("[1]"));
  await sink.holds(9);
  sink.waiting[8]!.keep();
  assert.equal((await running).status, 200);
  assert.equal((await admin.request("/health")).status, 200);
});

test("a stopping collector rejects new batches, and idle() resolves when the last one is stored", async () => {
  const { app, status, sink } = open();
  await status.idle();
  const running = app.request("/v2j", signedBatch("[1]"));
  await sink.holds(1);
  status.stop();
  let isIdle = false;
  const idle = status.idle().then(() => {
    isIdle = true;
  });
  const answer = await app.request("/v2j", signedBatch("[2]"));
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get("Retry-After"), "1");
  assert.equal((await app.request("/readyz")).status, 503);
  assert.equal((await app.request("/livez")).status, 200);
  assert.equal(isIdle, false);
  sink.waiting[0]!.keep();
  assert.equal((await running).status, 200);
  await idle;
});

test("keys can change between requests", async () => {
  let keys = new Map([[KEY.name, KEY.secret]]);
  const { app } = open({ keys: () => keys, sink: memorySink([]) });
  assert.equal((await app.request("/v2j", signedBatch("[1]"))).status, 200);
  keys = new Map([["next", KEY.secret]]);
  assert.equal((await app.request("/v2j", signedBatch("[1]"))).status, 403);
  const signature = signatureOf("[1]", { name: "next", secret: KEY.secret });
  assert.equal((await app.request("/v2j", signedBatch("[1]", { "X-Signature": signature }))).status, 200);
});
