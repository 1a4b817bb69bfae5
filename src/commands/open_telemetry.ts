/**
 * Tracing with an OpenTelemetry SDK that was loaded before the command.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PublishTracing } from "../publisher/mod.ts";

/** Where all copies of @opentelemetry/api 1.x keep what an SDK has registered. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

/** How long a command waits at its end for its last spans to be exported, in milliseconds. */
const FLUSH_MS = 2_000;

/** What SDKs share beyond the API. */
interface Flushable {
  forceFlush?(): Promise<void>;
  /** The SDK's provider, where this one is a proxy for it. */
  getDelegate?(): Flushable;
}

/**
 * The package `@opentelemetry/api`, if an SDK that traces was loaded before (`--preload`, `--import`). Undefined: none
 * was, and then the package is not looked for; or the package cannot be found, and `warn` gets a message.
 */
export async function preloadedOpenTelemetry(
  warn: (message: string) => void,
): Promise<PublishTracing | undefined> {
  const registered = (globalThis as { [REGISTERED]?: { trace?: unknown } })[REGISTERED];
  if (registered?.trace === undefined) return undefined;
  const name: string = "@opentelemetry/api"; // a variable, or a bundler would include it
  try {
    return (await import(name)) as PublishTracing;
  } catch (error) {
    warn(`An OpenTelemetry SDK is loaded, but requests are not traced: ${(error as Error).message}`);
    return undefined;
  }
}

/**
 * Lets the SDK export the spans that have ended, since process.exit waits for nothing. An exporter that fails or hangs
 * delays the end by two seconds at most.
 */
export async function flushSpans(openTelemetry: PublishTracing | undefined): Promise<void> {
  const { trace } = (openTelemetry ?? {}) as { trace?: { getTracerProvider(): Flushable } };
  const provider = trace?.getTracerProvider();
  const flushed = (provider?.getDelegate?.() ?? provider)?.forceFlush?.();
  if (flushed !== undefined) await Promise.race([flushed.catch(() => {}), sleep(FLUSH_MS)]);
}
