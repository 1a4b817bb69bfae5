/**
 * Certificates and keys for TLS, by the paths of their files.
 *
 * @module
 */
import { accessSync, constants } from "node:fs";
import { ConfigurationError } from "../errors.ts";
import type { ConfigSection } from "./config_section.ts";
import { optional, quote, type ValueParser } from "./parsers.ts";

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
