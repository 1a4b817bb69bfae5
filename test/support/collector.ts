import { type BatchMeta, type CollectorOptions, collector } from "../../src/collector/collector.ts";
import { serveApp } from "../../src/http/serve.ts";

/** The name and secret that the tests' collectors and publishers share. */
export const TEST_KEY: { readonly name: string; readonly secret: Uint8Array } = {
  name: "K",
  secret: Buffer.from("hunter2"),
};

/** A batch that a collector stored. */
export interface StoredBatch {
  readonly events: readonly string[];
  readonly meta: BatchMeta;
}

/** The real collector, on loopback, storing in memory: `await using collector = await serveCollector();`. */
export interface TestCollector extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly batches: StoredBatch[];
}

/** Serves one. */
export async function serveCollector(options: Partial<CollectorOptions> = {}): Promise<TestCollector> {
  const batches: StoredBatch[] = [];
  const app = collector({
    keys: new Map([[TEST_KEY.name, TEST_KEY.secret]]),
    store: (events, meta) => void batches.push({ events, meta }),
    ...options,
  });
  const served = await serveApp(app, { host: "127.0.0.1", port: 0 });
  return { url: served.address, batches, [Symbol.asyncDispose]: () => served.close() };
}
