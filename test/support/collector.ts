import { type CollectorOptions, collector } from "../../src/collector/app.ts";
import type { AcceptedBatch, RequestVersion, StoreResult } from "../../src/collector/sinks/sink.ts";
import { collectorProtocol } from "../../src/publisher/destinations/collector.ts";
import { HttpDestination, type HttpLocation } from "../../src/publisher/destinations/http.ts";
import { serveApp } from "../../src/server/serve.ts";
import { formatEventIds } from "../../src/wire/event_ids.ts";
import type { SigningKey } from "../../src/wire/signature.ts";
import { KEY } from "./keys.ts";

/** A batch that a collector stored. */
export interface StoredBatch {
  readonly events: readonly string[];
  readonly meta: {
    readonly version: RequestVersion;
    readonly keyName: string;
    /** The ids of the events, in the format of `Event-Ids`. */
    readonly eventIds: string | undefined;
  };
}

/** A sink that stores batches in memory. */
export function memorySink(batches: StoredBatch[]): { store(batch: AcceptedBatch): Promise<StoreResult> } {
  return {
    store: async ({ events, version, keyName, ids }) => {
      const texts = Array.from({ length: events.count }, (_, index) => events.text(index));
      batches.push({
        events: texts,
        meta: { version, keyName, eventIds: ids && formatEventIds(ids.queue, ids.ranges) },
      });
      return { stored: events.count, duplicates: 0 };
    },
  };
}

/** The real collector, on loopback, storing in memory: `await using collector = await serveCollector();`. */
export interface TestCollector extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly batches: StoredBatch[];
  /** The number of responses with a status other than 2xx. */
  readonly rejectedCount: number;
}

/** Serves one. */
export async function serveCollector(options: Partial<CollectorOptions> = {}): Promise<TestCollector> {
  const batches: StoredBatch[] = [];
  const app = collector({
    keys: new Map([[KEY.name, KEY.secret]]),
    sink: memorySink(batches),
    ...options,
  });
  let rejectedCount = 0;
  const fetch = async (request: Request): Promise<Response> => {
    const response = await app.fetch(request);
    if (!response.ok) rejectedCount++;
    return response;
  };
  const served = await serveApp({ fetch }, { host: "127.0.0.1", port: 0 });
  return {
    url: served.address,
    batches,
    get rejectedCount() {
      return rejectedCount;
    },
    [Symbol.asyncDispose]: () => served.close(),
  };
}

/** A destination that sends to a collector, with the tests' key unless another is given. */
export function collectorAt(
  url: string,
  {
    key = KEY,
    version = "2j",
    ...location
  }: Partial<HttpLocation> & { readonly key?: SigningKey; readonly version?: "2" | "2j" } = {},
): HttpDestination {
  return new HttpDestination(collectorProtocol(version, key), {
    url,
    timeoutMs: 60_000,
    gzipLevel: 1,
    ...location,
  });
}

/** The `id` of each event that was stored. */
export function deliveredIds({ batches }: Pick<TestCollector, "batches">): number[] {
  return batches.flatMap(({ events }) => events.map((event) => (JSON.parse(event) as { id: number }).id));
}
