import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestAuthority } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { freePorts } from "./nats.ts";
import { type Program, startCommand } from "./processes.ts";
import { ROOT } from "./project.ts";
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

/** What stands in a file of deploy/. */
export function readDeployed(name: string): string {
  return readFileSync(join(ROOT, "deploy", name), "utf8");
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
  const file = join(directory.path, "config");
  writeFileSync(file, kind === "nginx" ? nginxAround(text, directory.path) : text);
  const args = kind === "nginx" ? ["-p", directory.path, "-c", file] : ["-db", "-f", file];
  const program = startCommand([PROGRAMS[kind]!, args]);
  await eventually(`${kind} to listen`, async () => {
    if (program.child.exitCode !== null) throw new Error(`${kind} ended: ${program.stderr.join("\n")}`);
    return await isListening(port);
  });
  return {
    port,
    program,
    [Symbol.asyncDispose]: async () => {
      program.child.kill(kind === "nginx" ? "SIGQUIT" : "SIGTERM"); // the worker ends with its master
      const done = await Promise.race([
        program.ended,
        new Promise((resolve) => setTimeout(resolve, 3_000, "late")),
      ]);
      if (done === "late") program.child.kill("SIGTERM");
      await program[Symbol.asyncDispose]();
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

function nginxAround(text: string, directory: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  return `daemon off; error_log stderr; pid ${directory}/pid; events {}
http { access_log off; ${temporary.join(" ")} ${text} }`;
}

async function isListening(port: number): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
