import { Buffer } from "node:buffer";
import { accessSync, closeSync, constants, openSync, readSync } from "node:fs";
import { ConfigurationError } from "../errors.ts";
import type { ConfigSection } from "./config_section.ts";
import { optional, quote, type ValueParser } from "./parsers.ts";

/** The longest file of a secret, in bytes: 64 KiB. A key has a few dozen. */
const MAX_SECRET_FILE_BYTES = 65_536;

/** The shortest `admin.token`, in characters: what cannot be guessed over a network. */
const MIN_TOKEN_CHARS = 16;

const REDACTED = "[redacted]";

/**
 * Bytes that must not be shown. Printed, logged, interpolated or turned into JSON it is
 * `[redacted]`; only {@link Secret.reveal} gives the bytes.
 */
export class Secret {
  static {
    // What `console.log` shows, on Bun, Deno and Node. Not a method: isolatedDeclarations cannot name it.
    const inspect = Symbol.for("nodejs.util.inspect.custom");
    Object.defineProperty(Secret.prototype, inspect, { value: () => REDACTED });
  }

  readonly #bytes: Uint8Array;

  /** Copies the bytes. @throws {ConfigurationError} they are not bytes */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array))
      throw new ConfigurationError("must be a Uint8Array", { key: "bytes" }); // "abc" would be empty
    this.#bytes = new Uint8Array(bytes); // Buffer.slice would share memory
  }

  /** The bytes themselves, as a copy: to sign with, not to show. */
  reveal(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Never the secret. */
  toString(): string {
    return REDACTED;
  }

  /** Never the secret. */
  toJSON(): string {
    return REDACTED;
  }
}

const ASCII_SPACES = /[\t\n\v\f\r ]+/g;

/**
 * Reads a Base64 key. White space inside (a continued line) and padding beyond what is needed are
 * passed over, as Python does. Python also passes over every other character, and so takes a key in
 * the URL-safe alphabet, or with a typo in it, for another, shorter key; that is rejected here.
 *
 * @throws {ConfigurationError} if it is not Base64, or holds no byte. The message never shows it.
 */
export function parseSecret(text: string): Secret {
  const [, data = "", padding = "", rest = ""] =
    /^([^=]*)(=*)(.*)$/s.exec(text.replace(ASCII_SPACES, "")) ?? [];
  if (/[^A-Za-z0-9+/]/.test(data)) throw new ConfigurationError(foreignCharacters(data));
  if (rest !== "") throw new ConfigurationError("is not Base64: something follows the = padding");
  if (data === "") throw new ConfigurationError("no key specified: expected Base64 of at least one byte");
  const missing = -data.length & 3;
  if (missing === 3) {
    throw new ConfigurationError(
      `is not Base64: ${data.length} characters are never a whole number of bytes`,
    );
  }
  if (padding.length < missing)
    throw new ConfigurationError(`is not Base64: it lacks ${missing} = at its end`);
  return new Secret(Buffer.from(data, "base64"));
}

function foreignCharacters(data: string): string {
  const isUrlSafe = /^[\w-]+$/.test(data);
  if (isUrlSafe) return "is Base64 in the URL-safe alphabet: write + for - and / for _";
  return "is not Base64: it holds characters other than A-Z, a-z, 0-9, + and /";
}

/**
 * Reads a bearer token: of the characters that one may have (RFC 6750, 2.1), and long enough.
 *
 * @throws {ConfigurationError} the message never shows it
 */
export function parseToken(text: string): Secret {
  if (!/^[A-Za-z0-9._~+/-]*=*$/.test(text))
    throw new ConfigurationError("is no bearer token: use letters, digits and - . _ ~ + / only");
  if (text.length < MIN_TOKEN_CHARS)
    throw new ConfigurationError(
      `is ${text.length} characters long: expected ${MIN_TOKEN_CHARS} or more, such as openssl rand -hex 16 makes`,
    );
  return new Secret(Buffer.from(text));
}

/**
 * Reads a secret from the section's `key`, or from the file that `KEY_file` names: one of the two. The text
 * is empty when neither is there.
 *
 * @throws {ConfigurationError} both are there, the file cannot be read, or `parse` rejects; it never shows the secret
 */
export function readSecret<T>(section: ConfigSection, key: string, parse: ValueParser<T>): T {
  const fileKey = `${key}_file`;
  if (!section.has(fileKey)) return section.read(key, parse, { isSecret: true });
  if (section.has(key)) throw section.error(fileKey, `is set, and so is ${key}: keep one of them`);
  return section.read(fileKey, (path) => parse(readSecretFile(section.parsePath(path))));
}

/** The text of a secret's file, without the line end that editors and `echo` leave. */
function readSecretFile(path: string): string {
  const bytes = Buffer.alloc(MAX_SECRET_FILE_BYTES + 1);
  const size = readInto(bytes, path);
  if (size > MAX_SECRET_FILE_BYTES)
    throw new ConfigurationError(
      `the file ${quote(path)} holds more than ${MAX_SECRET_FILE_BYTES} bytes: it is no secret`,
    );
  const text = bytes.toString("latin1", 0, size).replace(/\r?\n$/, "");
  if (text === "") throw new ConfigurationError(`the file ${quote(path)} is empty`);
  return text;
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "permission denied",
};

function readInto(bytes: Buffer, path: string): number {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    let size = 0;
    for (;;) {
      const count = readSync(file, bytes, size, bytes.length - size, null);
      size += count;
      if (count === 0 || size === bytes.length) return size;
    }
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    throw new ConfigurationError(
      `cannot read the file ${quote(path)}: ${PROBLEMS[code] ?? message}`,
      {},
      { cause },
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

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

/** Files in PEM, by their paths. */
export interface TlsFiles {
  /** Who is trusted; undefined: whom the runtime trusts. */
  readonly caFile: string | undefined;
  /** A certificate of our own; with {@link keyFile} or not at all. */
  readonly certFile: string | undefined;
  /** The certificate's key. */
  readonly keyFile: string | undefined;
}

/**
 * Reads `tls_ca_file`, `tls_cert_file` and `tls_key_file`, each behind `prefix`, such as `nats.`; undefined: none is set.
 *
 * @throws {ConfigurationError}
 */
export function readTlsFiles(section: ConfigSection, prefix: string): TlsFiles | undefined {
  const file = optional(readableFileIn(section), undefined);
  const tls = {
    caFile: section.read(`${prefix}tls_ca_file`, file),
    certFile: section.read(`${prefix}tls_cert_file`, file),
    keyFile: section.read(`${prefix}tls_key_file`, file),
  };
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined))
    throw section.error(`${prefix}tls_cert_file`, `goes with ${prefix}tls_key_file: set both or none`);
  return Object.values(tls).some((path) => path !== undefined) ? tls : undefined;
}

/** Reads the path of a file that can be read, relative to the configuration's file. */
export function readableFileIn(section: ConfigSection): ValueParser<string> {
  return (text) => {
    const path = section.parsePath(text);
    try {
      accessSync(path, constants.R_OK);
      return path;
    } catch (cause) {
      throw new ConfigurationError(`cannot read the file ${quote(path)}`, {}, { cause });
    }
  };
}
