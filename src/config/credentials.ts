import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { accessSync, closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { ConfigurationError } from "../errors.ts";
import { explainFileError } from "../file_error.ts";
import type { ConfigSection } from "./config_section.ts";
import { optional, quote, type ValueParser } from "./parsers.ts";

/** The largest file of a secret, in bytes: 64 KiB. A key has a few dozen. */
const MAX_SECRET_FILE_BYTES = 65_536;

/** The shortest `admin.token`, in characters: too long to be guessed over a network. */
const MIN_TOKEN_CHARS = 16;

const REDACTED = "[redacted]";

/**
 * Bytes that must not be shown. Printed, logged, interpolated or converted to JSON, a secret is `[redacted]`; only
 * {@link Secret.reveal} returns the bytes.
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

  /** Returns a copy of the bytes: to sign with, not to show. */
  reveal(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Returns `[redacted]`. */
  toString(): string {
    return REDACTED;
  }

  /** Returns `[redacted]`. */
  toJSON(): string {
    return REDACTED;
  }
}

const ASCII_SPACES = /[\t\n\v\f\r ]+/g;

/**
 * Reads a Base64 key. White space (of a continued line) and extra padding are ignored, as in Python. Python also
 * ignores every other character, so a key in the URL-safe alphabet, or with a typo, becomes another, shorter key. Such
 * a key is rejected here.
 *
 * @throws {ConfigurationError} the text is not Base64, or holds no byte. The message never shows it
 */
export function parseSecret(text: string): Secret {
  const [, data = "", padding = "", rest = ""] =
    /^([^=]*)(=*)(.*)$/s.exec(text.replace(ASCII_SPACES, "")) ?? [];
  if (/[^A-Za-z0-9+/]/.test(data)) throw new ConfigurationError(foreignCharacters(data));
  if (rest !== "") throw new ConfigurationError("is not Base64: there is text after the = padding");
  if (data === "") throw new ConfigurationError("no key specified: expected Base64 of at least one byte");
  const missing = -data.length & 3;
  if (missing === 3) {
    throw new ConfigurationError(`is not Base64: ${data.length} characters cannot be complete`);
  }
  if (padding.length < missing)
    throw new ConfigurationError(`is not Base64: ${missing} = are missing at the end`);
  return new Secret(Buffer.from(data, "base64"));
}

function foreignCharacters(data: string): string {
  const isUrlSafe = /^[\w-]+$/.test(data);
  if (isUrlSafe) return "is Base64 in the URL-safe alphabet: replace - by + and _ by /";
  return "is not Base64: it contains characters other than A-Z, a-z, 0-9, + and /";
}

/**
 * Reads a bearer token (RFC 6750, section 2.1) of at least 16 characters.
 *
 * @throws {ConfigurationError} the message never shows the token
 */
export function parseToken(text: string): Secret {
  if (!/^[A-Za-z0-9._~+/-]*=*$/.test(text))
    throw new ConfigurationError("is not a bearer token: use only letters, digits and - . _ ~ + /");
  if (text.length < MIN_TOKEN_CHARS)
    throw new ConfigurationError(
      `expected ${MIN_TOKEN_CHARS} characters or more, got ${text.length}: make one with openssl rand -hex 16`,
    );
  return new Secret(Buffer.from(text));
}

/**
 * Reads a secret from `key`, or from the file that `KEY_file` names. `parse` gets the empty text if both are absent.
 *
 * @throws {ConfigurationError} both are set, the file cannot be read, or `parse` rejects it; it never shows the secret
 */
export function readSecret<T>(section: ConfigSection, key: string, parse: ValueParser<T>): T {
  const fileKey = `${key}_file`;
  if (!section.has(fileKey)) return section.read(key, parse, { isSecret: true });
  if (section.has(key)) throw section.error(fileKey, `and ${key} are both set: keep one of them`);
  return section.read(fileKey, (path) => parse(readSecretFile(section.parsePath(path))));
}

/** Reads a secret's file, without the line end that editors and `echo` add. */
function readSecretFile(path: string): string {
  const bytes = Buffer.alloc(MAX_SECRET_FILE_BYTES + 1);
  const size = readInto(bytes, path);
  if (size > MAX_SECRET_FILE_BYTES)
    throw new ConfigurationError(
      `the file ${quote(path)} holds more than ${MAX_SECRET_FILE_BYTES} bytes, too many for a secret`,
    );
  const text = bytes.toString("latin1", 0, size).replace(/\r?\n$/, "");
  if (text === "") throw new ConfigurationError(`the file ${quote(path)} is empty`);
  return text;
}

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
    throw unreadable(path, cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Every key, decoded, and token in README, docs, deploy and examples. A test compares the list with them. */
const EXAMPLES: ReadonlySet<string> = new Set([
  "example secret, not for production!",
  "an-example-token-not-for-production",
  "the old key, not for production",
  "the new key, not for production",
  "tutorial",
  "secret key",
]);

/** A shorter key can be guessed, in bytes: half of what HMAC-SHA256 can use. */
const MIN_STRONG_BYTES = 16;

/** Whether a secret is an example of eventspool's documentation. */
export function isExample(secret: Secret): boolean {
  return EXAMPLES.has(Buffer.from(secret.reveal()).toString("latin1"));
}

/**
 * Checks a secret on which other machines rely. A weak secret only gets a warning, since baseplate.py accepts any.
 *
 * @param key its setting
 * @throws {ConfigurationError} the secret is an example of the documentation
 */
export function checkExposedSecret(section: ConfigSection, key: string, secret: Secret): void {
  const setting = section.has(`${key}_file`) ? `${key}_file` : key;
  if (isExample(secret))
    throw section.error(
      setting,
      "is an example of eventspool's documentation, which anyone can use from other machines: make a secret with " +
        "openssl rand -base64 32",
    );
  const bytes = secret.reveal();
  if (bytes.length < MIN_STRONG_BYTES || new Set(bytes).size === 1)
    section.warn(
      setting,
      `can be guessed: make a secret of ${MIN_STRONG_BYTES} random bytes or more with openssl rand -base64 32`,
    );
}

/** Paths of PEM files for TLS. */
export interface TlsFiles {
  /** The certificate authorities that are trusted. Undefined: those of the runtime. */
  readonly caFile: string | undefined;
  /** The own certificate; needs {@link keyFile}. */
  readonly certFile: string | undefined;
  /** The key of the certificate. */
  readonly keyFile: string | undefined;
}

/**
 * Reads `tls_ca_file`, `tls_cert_file` and `tls_key_file`, with a prefix such as `nats.`. Undefined: none is set.
 *
 * @throws {ConfigurationError} a file cannot be read, or one of certificate and key is missing
 */
export function readTlsFiles(section: ConfigSection, prefix: string): TlsFiles | undefined {
  const file = optional(readableFileIn(section), undefined);
  const tls = {
    caFile: section.read(`${prefix}tls_ca_file`, file),
    certFile: section.read(`${prefix}tls_cert_file`, file),
    keyFile: section.read(`${prefix}tls_key_file`, file),
  };
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined))
    throw section.error(`${prefix}tls_cert_file`, `needs ${prefix}tls_key_file: set both or none`);
  return Object.values(tls).some((path) => path !== undefined) ? tls : undefined;
}

/** Reads the path of a readable file, relative to the configuration file. */
export function readableFileIn(section: ConfigSection): ValueParser<string> {
  return (text) => {
    const path = section.parsePath(text);
    try {
      accessSync(path, constants.R_OK);
      return path;
    } catch (cause) {
      throw unreadable(path, cause);
    }
  };
}

function unreadable(path: string, cause: unknown): ConfigurationError {
  const problem = `cannot read the file ${quote(path)}: ${explainFileError(cause, path)}`;
  return new ConfigurationError(problem, {}, { cause });
}

/** The contents of {@link TlsFiles}. */
export interface TlsContents {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** Reads certificates when a listener or a destination starts, and again at a reload. @throws {ConfigurationError} */
export function loadTls({ caFile, certFile, keyFile }: TlsFiles): TlsContents {
  const load = (path: string | undefined): Buffer | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (cause) {
      throw unreadable(path, cause);
    }
  };
  return { ca: load(caFile), cert: load(certFile), key: load(keyFile) };
}

/**
 * Equal for equal configurations, including secrets and the current contents of certificate files. It is a hash, so that
 * no text with the secrets stays in memory.
 */
export function fingerprintOf(config: object): string {
  const text = JSON.stringify(config, function (this: Record<string, unknown>, key, value: unknown) {
    const raw = this[key]; // before toJSON
    if (raw instanceof Secret) return Buffer.from(raw.reveal()).toString("base64");
    return NAMES_A_FILE.test(key) && typeof value === "string" ? [value, contentsOf(value)] : value;
  });
  return createHash("sha256").update(text).digest("hex");
}

/** Keys such as `caFile`: certificates and credentials, which are read for each connection. */
const NAMES_A_FILE = /[a-z]File$/;

function contentsOf(path: string): string | undefined {
  try {
    return readFileSync(path, "base64");
  } catch {
    return undefined; // the connection fails with the reason
  }
}
