/**
 * Secrets that everybody knows.
 *
 * @module
 */
import type { ConfigSection } from "./config_section.ts";
import type { Secret } from "./secret.ts";

/** Every key, decoded, and token of README, docs, deploy and examples: a test holds the list to them. */
const EXAMPLES: ReadonlySet<string> = new Set([
  "example secret, not for production!",
  "an-example-token-not-for-production",
  "the old key, not for production",
  "the new key, not for production",
  "tutorial",
  "secret key",
]);

/** Below this a key is easier to guess than to steal, in bytes: half of what HMAC-SHA256 can use. */
const MIN_STRONG_BYTES = 16;

/** Whether a secret is one of those that eventspool's documentation shows. */
export function isExample(secret: Secret): boolean {
  return EXAMPLES.has(Buffer.from(secret.reveal()).toString("latin1"));
}

/**
 * Checks a secret that protects something from other machines. A weak one gets a warning only: baseplate.py takes any.
 *
 * @param key the setting that it comes from @throws {ConfigurationError} it is an example
 */
export function checkExposedSecret(section: ConfigSection, key: string, secret: Secret): void {
  const setting = section.has(`${key}_file`) ? `${key}_file` : key;
  if (isExample(secret))
    throw section.error(
      setting,
      "is an example from eventspool's documentation, and other machines can be reached with it: make a secret of " +
        "your own, such as openssl rand -base64 32 prints",
    );
  const bytes = secret.reveal();
  if (bytes.length < MIN_STRONG_BYTES || new Set(bytes).size === 1)
    section.warn(
      setting,
      `can be guessed: use ${MIN_STRONG_BYTES} random bytes or more, such as openssl rand -base64 32 prints`,
    );
}
