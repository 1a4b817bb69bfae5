import { ConfigurationError } from "../errors.ts";

/**
 * `host[:port][/path]` and nothing else. baseplate.py puts any text between `://` and `/v2`, and so
 * sends to another place than the file seems to say, or with credentials of its own.
 */
const HOSTNAME = /^(?:\[[\da-f:.]+\]|[\p{L}\p{M}\p{N}._-]+)(?::\d+)?(?:\/[^\s?#\\]*)?$/iu;
const LOOPBACK_HOST = /^(?:localhost|.+\.localhost|127(?:\.\d+){3}|\[::1\])$/;

/**
 * Checks `collector.hostname` and gives it back as written.
 *
 * @throws {ConfigurationError} which never shows the value: where it is not a plain host, it may hold
 * a password.
 */
export function parseCollectorHostname(text: string): string {
  if (text === "") throw new ConfigurationError("no value specified");
  if (HOSTNAME.test(text) && URL.canParse(`https://${text}`)) return text;
  throw new ConfigurationError(`expected host[:port][/path]${hint(text)}`);
}

function hint(text: string): string {
  if (text.includes("://")) return ", without the scheme: that is the key collector.scheme";
  if (text.includes("@")) return ", without a user and password: requests are signed with the key";
  if (/[?#]/.test(text)) return ", without ? and #: the path ends in the version";
  if (/\s/.test(text)) return ", without white space or a continuation line";
  return ", which makes no valid URL";
}

/** Where batches are sent: `{scheme}://{hostname}/v{version}`, spelt exactly as baseplate.py does. */
export function collectorUrl(parts: { scheme: string; hostname: string; version: string }): string {
  return `${parts.scheme}://${parts.hostname}/v${parts.version}`;
}

/** Whether what is sent to the URL can be read on its way over a network: plain http to another machine. */
export function isExposed(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !LOOPBACK_HOST.test(hostname);
}
