/** Batches as publishers send them. */
import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { BATCH_FORMATS, frame } from "../../src/wire/batch_format.ts";
import { EVENT_IDS_HEADER, formatEventIds } from "../../src/wire/event_ids.ts";
import {
  type BodySignature,
  EVENT_IDS_SIGNATURE_HEADER,
  formatSignature,
  SIGNATURE_HEADER,
  type SigningKey,
  signBody,
  signEventIds,
} from "../../src/wire/signature.ts";
import { randomEvent } from "./random_events.ts";

/** How many events nearly fill a batch; Thrift's types take space. */
export const BATCH_EVENTS: Readonly<Record<"2" | "2j", number>> = { "2": 1_200, "2j": 1_500 };

/** The key that signs them. */
export const BENCH_KEY: SigningKey & { readonly secret: Buffer } = {
  name: "bench",
  secret: Buffer.from("bench"),
};

/** A batch before and after compression. */
export interface Batch {
  readonly body: Buffer;
  readonly compressed: Buffer<ArrayBuffer>;
  readonly signature: BodySignature;
}

/** A full batch of random events, in version 2 with the same values as Thrift structs. */
export function makeBatch(version: "2" | "2j"): Batch {
  const count = BATCH_EVENTS[version];
  const events = Array.from({ length: count }, () =>
    version === "2" ? structOf(randomEvent()) : Buffer.from(randomEvent()).toString(),
  );
  const body = frame(BATCH_FORMATS[version], { count, joined: Buffer.from(events.join(",")) });
  return {
    body,
    compressed: gzipSync(body, { level: 1 }),
    signature: signBody(body, BENCH_KEY),
  };
}

/**
 * Sends batches to a collector, some at once, each with its own ids. It takes little CPU, so that the collector is
 * measured. @throws a response other than 200
 */
export async function sendAll(
  url: string,
  requests: number,
  { version, inFlight }: { version: "2" | "2j"; inFlight: number },
): Promise<void> {
  const batches = Array.from({ length: 20 }, () => makeBatch(version));
  const count = BATCH_EVENTS[version];
  const queue = randomUUID();
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < requests) {
      const nth = next++;
      const { compressed, signature } = batches[nth % batches.length] as Batch;
      const eventIds = formatEventIds(queue, [{ firstId: nth * count + 1, lastId: (nth + 1) * count }]);
      const ids = { eventIds, bodyMac: signature.mac };
      const response = await fetch(`${url}/v${version}`, {
        method: "POST",
        headers: {
          "Content-Encoding": "gzip",
          [SIGNATURE_HEADER]: formatSignature(signature),
          [EVENT_IDS_HEADER]: eventIds,
          [EVENT_IDS_SIGNATURE_HEADER]: signEventIds(ids, BENCH_KEY.secret, Date.now()),
        },
        body: compressed,
      });
      const text = await response.text();
      if (response.status !== 200) throw new Error(`Error: ${response.status} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, send));
}

/** The event with numbered and typed fields, as from an IDL. */
function structOf(event: Uint8Array): string {
  return JSON.stringify(typed(JSON.parse(Buffer.from(event).toString())).rec);
}

function typed(value: unknown): Record<string, unknown> {
  if (typeof value === "string") return { str: value };
  if (typeof value === "boolean") return { tf: Number(value) };
  if (typeof value === "number") return Number.isInteger(value) ? { i64: value } : { dbl: value };
  const fields = Object.values(value as object).map((field, index) => [index + 1, typed(field)]);
  return { rec: Object.fromEntries(fields) };
}
