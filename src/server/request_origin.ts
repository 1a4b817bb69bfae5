/**
 * Where a request comes from: this machine, this user, or somewhere behind a proxy.
 *
 * @module
 */
import { promises } from "node:fs";
import type { Socket } from "node:net";
import { endianness } from "node:os";
import process from "node:process";
import type { Context } from "hono";
import type { RequestEnv } from "./serve.ts";

/** Names of this machine. Any other may be a hostile site's that now leads here (DNS rebinding), and its page could read ours. */
const LOOPBACK = /^(?:(?:[^.]+\.)*localhost|127(?:\.\d+){3}|\[::1\])$/i;

/** What proxies add: the client that they ask for may be on another machine. */
const PROXY_HEADERS =
  /^(?:forwarded|via|x-forwarded(?:-.+)?|x-original-.+|(?:x-)?(?:real|client|cluster-client|true-client)-ip|cf-connecting-ip)$/i;

/**
 * Whether a proxy passes the request on: it says so, or speaks HTTP/1.0, which no browser does and nginx does unless
 * told otherwise. A proxy that hides itself from us is known only by its user: see {@link isOwnUser}.
 */
export function isProxied(c: Context): boolean {
  return isHttp10(c) || [...c.req.raw.headers.keys()].some((name) => PROXY_HEADERS.test(name));
}

/**
 * Whether the request names this machine. One that cannot come from a browser needs not: a probe by HTTP/1.0, which
 * may have no Host.
 */
export function namesThisMachine(c: Context): boolean {
  if (isHttp10(c)) return true;
  const hasName = incomingOf(c) === undefined || c.req.header("Host") !== undefined;
  return hasName && LOOPBACK.test(new URL(c.req.url).hostname);
}

/** Whether the browser speaks TLS, with us or with the proxy that asks for it. */
export function isOverTls(c: Context): boolean {
  const [proto] = (c.req.header("X-Forwarded-Proto") ?? forwardedProto(c) ?? "").split(",");
  return proto?.trim().toLowerCase() === "https" || new URL(c.req.url).protocol === "https:";
}

function forwardedProto(c: Context): string | undefined {
  return /(?:^|[;,\s])proto="?([a-z]+)/i.exec(c.req.header("Forwarded") ?? "")?.[1];
}

function isHttp10(c: Context): boolean {
  const incoming = incomingOf(c);
  return incoming !== undefined && incoming.httpVersionMajor === 1 && incoming.httpVersionMinor === 0;
}

/** Undefined in an app that is served by others, or asked without a socket. */
function incomingOf(c: Context): RequestEnv["incoming"] | undefined {
  return (c.env as Partial<RequestEnv> | undefined)?.incoming;
}

/** A connection belongs to one user: its answer is kept with it. */
const answers = new WeakMap<Socket, Promise<boolean>>();

/**
 * Whether the program at the other end runs as our user, or as root. Linux tells by /proc/net/tcp; where the system
 * does not tell, the answer is no. Who connects to our unix socket may: its mode decides. An app that others serve
 * shows no socket: then those who mount it answer for it.
 */
export async function isOwnUser(c: Context): Promise<boolean> {
  const socket = incomingOf(c)?.socket;
  if (socket === undefined) return true;
  if (typeof socket.remoteAddress !== "string") return !socket.destroyed;
  const known = answers.get(socket) ?? isOwnUserAt(socket);
  answers.set(socket, known);
  return known;
}

async function isOwnUserAt(socket: Socket): Promise<boolean> {
  const uid = await uidOfPeer(socket);
  return uid !== undefined && (uid === 0 || uid === process.getuid?.());
}

/** The user whose program connected to a socket over loopback; undefined: the system does not tell. */
async function uidOfPeer(socket: Socket): Promise<number | undefined> {
  const theirs = kernelNames(socket.remoteAddress, socket.remotePort);
  const ours = kernelNames(socket.localAddress, socket.localPort);
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await promises.readFile(table, "latin1").catch(() => "");
    for (const line of text.split("\n")) {
      const [, local = "", remote = "", state, , , , uid] = line.trim().split(/\s+/);
      if (state === ESTABLISHED && theirs.includes(local) && ours.includes(remote)) return Number(uid);
    }
  }
  return undefined;
}

/** The kernel shows a connection that is closing as root's. */
const ESTABLISHED = "01";

const IPV4_IN_IPV6 = "0000000000000000FFFF0000";

/** How /proc/net/tcp and tcp6 write a loopback address and a port; none for another address. */
function kernelNames(address: string | undefined, port: number | undefined): string[] {
  const suffix = `:${(port ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  if (address === "::1") return [`${"0".repeat(24)}${wordOf([0, 0, 0, 1])}${suffix}`];
  const [, ipv4] = /^(?:::ffff:)?(127(?:\.\d{1,3}){3})$/i.exec(address ?? "") ?? [];
  if (ipv4 === undefined) return [];
  const word = wordOf(ipv4.split(".").map(Number));
  return [`${word}${suffix}`, `${IPV4_IN_IPV6}${word}${suffix}`];
}

/** Four bytes as the kernel prints them: as a number of the machine. */
function wordOf(bytes: number[]): string {
  const ordered = endianness() === "LE" ? bytes.toReversed() : bytes;
  return Buffer.from(ordered).toString("hex").toUpperCase();
}
