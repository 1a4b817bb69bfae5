/**
 * Working with an OpenTelemetry SDK that the command was started with.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PublishTracing } from "../publisher/mod.ts";

/** Where every copy of @opentelemetry/api 1.x keeps what an SDK has registered, so that all of them have it. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

/** How long a command that ends waits for its last spans to be exported, in milliseconds. */
const FLUSH_MS = 2_000;

/** What SDKs have in common beyond the API. */
interface Flushable {
  forceFlush?(): Promise<void>;
  /** The SDK's, where this one only stands for it. */
  getDelegate?(): Flushable;
}

/**
 * The package `@opentelemetry/api`, when an SDK that traces was loaded before (`--preload`, `--import`). Undefined:
 * none was, and then the package is not even looked for; or it cannot be found from here, which `warn` is told.
 */
export async function preloadedOpenTelemetry(
  warn: (message: string) => void,
): Promise<PublishTracing | undefined> {
  const registered = (globalThis as { [REGISTERED]?: { trace?: unknown } })[REGISTERED];
  if (registered?.trace === undefined) return undefined;
  const name: string = "@opentelemetry/api"; // a variable, or a bundler would want to have it
  try {
    return (await import(name)) as PublishTracing;
  } catch (error) {
    warn(`An OpenTelemetry SDK is loaded, but requests are not traced: ${(error as Error).message}`);
    return undefined;
  }
}

/**
 * Lets the SDK export the spans that have ended: a command ends by process.exit, which waits for nothing. An
 * exporter that fails or hangs keeps it for two seconds at most.
 */
export async function flushSpans(openTelemetry: PublishTracing | undefined): Promise<void> {
  const { trace } = (openTelemetry ?? {}) as { trace?: { getTracerProvider(): Flushable } };
  const provider = trace?.getTracerProvider();
  const flushed = (provider?.getDelegate?.() ?? provider)?.forceFlush?.();
  if (flushed !== undefined) await Promise.race([flushed.catch(() => {}), sleep(FLUSH_MS)]);
}
