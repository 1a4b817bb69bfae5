/**
 * Ready batches, and a client that sends them as many publishers do: what it takes is little, so that what is
 * measured is the collector.
 *
 * @module
 */
import { createHmac, randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { randomEvent } from "./random_events.ts";

/** How many events a batch has: a full one of 500 KiB. */
export const BATCH_EVENTS = 1_500;

/** The key that they are signed with, as a configuration has it. */
export const KEY_BASE64 = "YmVuY2g=";

/** A batch as it goes over the network. */
export interface ReadyBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly signature: string;
  /** Before compression. */
  readonly sizeBytes: number;
}

/** Some different batches of version 2j, compressed at level 1. */
export function readyBatches(count: number): ReadyBatch[] {
  return Array.from({ length: count }, () => {
    const events = Array.from({ length: BATCH_EVENTS }, () => Buffer.from(randomEvent()).toString());
    const body = Buffer.from(`[${events.join(",")}]`);
    const mac = createHmac("sha256", Buffer.from(KEY_BASE64, "base64")).update(body).digest("hex");
    const signature = `key=bench, mac=${mac}`;
    return { body: new Uint8Array(gzipSync(body, { level: 1 })), signature, sizeBytes: body.length };
  });
}

/** Sends so many batches to a collector, some at once, each with ids of its own. @throws an answer that is not 200 */
export async function sendAll(url: string, requests: number, inFlight: number): Promise<void> {
  const batches = readyBatches(20);
  const queue = randomUUID();
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < requests) {
      const nth = next++;
      const { body, signature } = batches[nth % batches.length] as ReadyBatch;
      const firstId = nth * BATCH_EVENTS + 1;
      const response = await fetch(`${url}/v2j`, {
        method: "POST",
        headers: {
          "Content-Encoding": "gzip",
          "X-Signature": signature,
          "Event-Ids": `${queue}:${firstId}-${firstId + BATCH_EVENTS - 1}`,
        },
        body,
      });
      const text = await response.text();
      if (response.status !== 200) throw new Error(`Error: ${response.status} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, send));
}
