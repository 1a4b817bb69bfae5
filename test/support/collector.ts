import { type BatchMeta, type CollectorOptions, collector } from "../../src/collector/collector.ts";
import { serveApp } from "../../src/http/serve.ts";
import { KEY } from "./keys.ts";

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
  /** How many requests it answered with another status than 2xx. */
  readonly refusedCount: number;
}

/** Serves one. */
export async function serveCollector(options: Partial<CollectorOptions> = {}): Promise<TestCollector> {
  const batches: StoredBatch[] = [];
  const app = collector({
    keys: new Map([[KEY.name, KEY.secret]]),
    store: (events, meta) => void batches.push({ events, meta }),
    ...options,
  });
  let refusedCount = 0;
  const fetch = async (request: Request): Promise<Response> => {
    const response = await app.fetch(request);
    if (!response.ok) refusedCount++;
    return response;
  };
  const served = await serveApp({ fetch }, { host: "127.0.0.1", port: 0 });
  return {
    url: served.address,
    batches,
    get refusedCount() {
      return refusedCount;
    },
    [Symbol.asyncDispose]: () => served.close(),
  };
}
