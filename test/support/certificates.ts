import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ServeTls } from "../../src/server/serve.ts";
import { temporaryDirectory } from "./temporary.ts";

/** Why tests with certificates are skipped; undefined: they run. */
export const NO_OPENSSL: string | undefined =
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "needs openssl: apt-get install openssl";

/** A certificate and its key, in PEM and as files. */
export interface IssuedCertificate extends ServeTls {
  readonly certFile: string;
  readonly keyFile: string;
}

/** An authority that signs certificates for 127.0.0.1 and localhost. */
export class TestAuthority implements Disposable {
  readonly #directory = temporaryDirectory();
  #count = 0;

  constructor() {
    this.#openssl(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Tests"],
    );
  }

  get caFile(): string {
    return join(this.#directory.path, "ca.pem");
  }

  get ca(): Uint8Array {
    return readFileSync(this.caFile);
  }

  /** Issues a certificate, for servers and for clients. */
  issue(name: string): IssuedCertificate {
    const file = `${name}-${++this.#count}`;
    const place = (extension: string): string => join(this.#directory.path, `${file}.${extension}`);
    this.#openssl(
      ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", place("key"), "-out", place("csr"), "-subj", `/CN=${name}`],
    );
    writeFileSync(place("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    this.#openssl(
      ...["x509", "-req", "-in", place("csr"), "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"],
      ...["-set_serial", String(this.#count), "-out", place("pem"), "-extfile", place("ext")],
    );
    const files = { certFile: place("pem"), keyFile: place("key") };
    return { ...files, cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.#directory.path, stdio: ["ignore", "ignore", "pipe"] });
  }
}
