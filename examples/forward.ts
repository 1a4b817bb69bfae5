/**
 * A collector that stores nothing: it forwards each batch to Segment or PostHog, and returns their response. So events
 * stay in the queues until they are accepted (429, 5xx, a wrong key), a batch that is too large is halved (413), and an
 * event that is rejected by itself (400) becomes a dead letter.
 *
 *     KEY_NAME=web KEY_SECRET=... SEGMENT_WRITE_KEY=... bun examples/forward.ts     # or POSTHOG_KEY=phc_...
 *
 * Publishers need collector.version = 2j, and as collector.hostname this program or the proxy that terminates TLS in
 * front of it. It has no state, so several can run.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { env } from "node:process";
import { gunzipSync } from "node:zlib";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";

/** The longest body, in bytes, compressed and decompressed: the limit of publishers. */
const MAX_BYTES = 512_000;
const TIMEOUT_MS = 8_000; // below the publishers' collector.timeout, 10 s

const secret = Buffer.from(env.KEY_SECRET ?? "", "base64");
if (secret.length === 0 || !(env.SEGMENT_WRITE_KEY || env.POSTHOG_KEY))
  throw new Error("Set KEY_NAME, KEY_SECRET (Base64), and SEGMENT_WRITE_KEY or POSTHOG_KEY.");

const app = new Hono();
app.post("/v2j", bodyLimit({ maxSize: MAX_BYTES }), async (c) => {
  const body = decompress(Buffer.from(await c.req.arrayBuffer()));
  if (body === undefined) return c.text("not gzip, or too long", 413);
  if (!isSigned(body, c.req.header("X-Signature") ?? "")) return c.text("not signed by our key", 403);
  const answer = await send(body.toString()).catch(
    (error: Error) => new Response(error.message, { status: 503 }),
  );
  const retryAfter = answer.headers.get("Retry-After");
  if (retryAfter !== null) c.header("Retry-After", retryAfter);
  return c.body(await answer.text(), answer.status as 200);
});

function decompress(body: Buffer): Buffer | undefined {
  try {
    return gunzipSync(body, { maxOutputLength: MAX_BYTES });
  } catch {
    return undefined;
  }
}

/** `key=NAME, mac=HEX`: HMAC-SHA256 over the decompressed body. */
function isSigned(body: Buffer, signature: string): boolean {
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  const [expected, actual] = [Buffer.from(`key=${env.KEY_NAME}, mac=${mac}`), Buffer.from(signature)];
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/** Sends events, a JSON array as it came, to the vendor whose key is set. */
function send(batch: string): Promise<Response> {
  const { SEGMENT_WRITE_KEY, SEGMENT_HOST = "https://api.segment.io" } = env;
  const { POSTHOG_KEY, POSTHOG_HOST = "https://us.i.posthog.com" } = env;
  if (SEGMENT_WRITE_KEY) {
    const Authorization = `Basic ${Buffer.from(`${SEGMENT_WRITE_KEY}:`).toString("base64")}`;
    return post(`${SEGMENT_HOST}/v1/batch`, `{"batch":${batch}}`, { Authorization });
  }
  return post(`${POSTHOG_HOST}/batch/`, `{"api_key":${JSON.stringify(POSTHOG_KEY)},"batch":${batch}}`);
}

function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
    signal,
    redirect: "manual",
  });
}

const hostname = env.HOST ?? "127.0.0.1";
serve({ fetch: app.fetch, hostname, port: Number(env.PORT ?? 9_800) }, ({ port }) => {
  console.log(`Forwarding at http://${hostname}:${port}`);
});
