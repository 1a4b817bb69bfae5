/**
 * What a queue may be called.
 *
 * @module
 */
import { ConfigurationError } from "./errors.ts";
import { MAX_QUEUE_NAME_CHARS } from "./limits.ts";

const QUEUE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Gives the name back when it may name a queue, and so a file: letters, digits, `.`, `_` and `-`, at most
 * 100 of them, not starting with `.`.
 *
 * @throws {ConfigurationError}
 */
export function checkQueueName(name: string): string {
  if (QUEUE_NAME.test(name) && name.length <= MAX_QUEUE_NAME_CHARS) return name;
  throw new ConfigurationError(
    `${JSON.stringify(name)} is not a queue name: use letters, digits, ".", "_" and "-", ` +
      `not starting with ".", at most ${MAX_QUEUE_NAME_CHARS} of them.`,
  );
}
