import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { TestAuthority } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { type Program, startCommand } from "./processes.ts";
import { freePorts } from "./servers.ts";
import { temporaryDirectory } from "./temporary.ts";

type BalancerKind = "nginx" | "haproxy";

/** Where Debian's packages put them, which is on root's path alone. */
const find = (name: string): string | undefined =>
  [`/usr/sbin/${name}`, name].find((command) => spawnSync(command, ["-v"]).status === 0);

const PROGRAMS: Readonly<Record<BalancerKind, string | undefined>> = {
  nginx: find("nginx"),
  haproxy: find("haproxy"),
};

/** Why tests with one are skipped, for `skip`; false: they are not. */
export function missing(kind: BalancerKind): string | false {
  return PROGRAMS[kind] === undefined && `${kind} is not installed: apt-get install ${kind}`;
}

/** A balancer in front of two collectors: `await using balancer = await startBalancer("nginx", text, ...);`. */
export interface Balancer extends AsyncDisposable {
  readonly port: number;
  readonly program: Program;
}

/**
 * Starts one with a configuration whose addresses, ports and certificates are as in deploy/: 443, 9800 and 9810, and
 * files of /etc/eventspool.
 */
export async function startBalancer(
  kind: BalancerKind,
  config: string,
  { collectors, authority }: { collectors: readonly number[]; authority: TestAuthority },
): Promise<Balancer> {
  const directory = temporaryDirectory();
  const [port = 0] = await freePorts(1);
  const text = place(config, { directory: directory.path, port, collectors, authority });
  return await launch(kind, kind === "nginx" ? nginxAround(text) : text, { directory, port });
}

/** An nginx in front of an app. */
export interface Proxy extends AsyncDisposable {
  /** Where it listens: `http://127.0.0.1:PORT`, or `https:`. */
  readonly url: URL;
}

/**
 * Starts an nginx with one server, whose locations these are; all else is nginx's defaults. With `tls` it ends TLS
 * with a certificate of its own.
 */
export async function startProxy(
  locations: string,
  { tls = false }: { readonly tls?: boolean } = {},
): Promise<Proxy> {
  const directory = temporaryDirectory();
  const [port = 0] = await freePorts(1);
  using authority = tls ? new TestAuthority() : undefined; // nginx reads its files at the start only
  const { certFile, keyFile } = authority?.issue("proxy") ?? {};
  const certificate = tls ? `ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};` : "";
  const server = `server { listen 127.0.0.1:${port}${tls ? " ssl" : ""}; ${certificate} ${locations} }`;
  const balancer = await launch("nginx", nginxAround(server), { directory, port });
  return { ...balancer, url: new URL(`${tls ? "https" : "http"}://127.0.0.1:${port}`) };
}

async function launch(
  kind: BalancerKind,
  config: string,
  { directory, port }: { directory: ReturnType<typeof temporaryDirectory>; port: number },
): Promise<Balancer> {
  const file = join(directory.path, "config");
  writeFileSync(file, config);
  const args = kind === "nginx" ? ["-p", directory.path, "-e", "stderr", "-c", file] : ["-db", "-f", file];
  const program = startCommand([PROGRAMS[kind]!, args]);
  await eventually(`${kind} to listen`, async () => {
    if (program.child.exitCode !== null) throw new Error(`${kind} ended: ${program.stderr.join("\n")}`);
    return await isListening(port);
  });
  return {
    port,
    program,
    [Symbol.asyncDispose]: async () => {
      program.signal("SIGTERM"); // its workers would outlive a SIGKILL
      await program.ended;
      directory[Symbol.dispose]();
    },
  };
}

function place(
  config: string,
  to: { directory: string; port: number; collectors: readonly number[]; authority: TestAuthority },
): string {
  const { certFile, keyFile } = to.authority.issue("balancer");
  const both = join(to.directory, "both.pem");
  writeFileSync(both, readFileSync(certFile, "utf8") + readFileSync(keyFile, "utf8"));
  return config
    .replace(/listen 443/, `listen 127.0.0.1:${to.port}`)
    .replace(/bind :443/, `bind 127.0.0.1:${to.port}`)
    .replaceAll("127.0.0.1:9800", `127.0.0.1:${to.collectors[0]}`)
    .replaceAll("127.0.0.1:9810", `127.0.0.1:${to.collectors[1]}`)
    .replaceAll("/etc/eventspool/balancer.pem", both)
    .replaceAll("/etc/eventspool/balancer.key", keyFile)
    .replaceAll("/etc/eventspool/publishers-ca.pem", to.authority.caFile);
}

function nginxAround(text: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${name};`,
  );
  // As the user of the publisher, so that only what it says gives it away.
  return `${process.getuid?.() === 0 ? "user root;" : ""} daemon off; error_log stderr; pid nginx.pid; events {}
http { access_log off; ${temporary.join(" ")} ${text} }`;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket
      .once("error", () => resolve(false))
      .once("connect", () => {
        resolve(true);
        socket.destroy();
      });
  });
}
