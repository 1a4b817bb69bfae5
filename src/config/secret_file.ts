/**
 * Secrets that stand in files of their own: systemd credentials, Kubernetes secrets.
 *
 * @module
 */
import { closeSync, openSync, readSync } from "node:fs";
import { ConfigurationError } from "../errors.ts";
import { MAX_SECRET_FILE_BYTES } from "../limits.ts";
import type { ConfigSection } from "./config_section.ts";
import { parseText, quote, type ValueParser } from "./values.ts";

/**
 * Reads a secret from the section's `key`, or from the file that `KEY_file` names: one of the two. The text
 * is empty when neither is there.
 *
 * @throws {ConfigurationError} both are there, the file cannot be read, or `parse` refuses; it never shows the secret
 */
export function readSecret<T>(section: ConfigSection, key: string, parse: ValueParser<T>): T {
  const fileKey = `${key}_file`;
  if (!section.has(fileKey)) return section.read(key, parse, { isSecret: true });
  if (section.has(key)) throw section.error(fileKey, `is set, and so is ${key}: keep one of them`);
  return section.read(fileKey, (path) => parse(readSecretFile(parseText(path))));
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
