/**
 * Finding out whether the command was started with an OpenTelemetry SDK.
 *
 * @module
 */
import type { PublishTracing } from "../publisher/mod.ts";

/** Where every copy of @opentelemetry/api 1.x keeps what an SDK has registered, so that all of them have it. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

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
