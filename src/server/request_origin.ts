/** Where a request comes from: this machine, this user, or a client behind a proxy. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { endianness } from "node:os";
import process from "node:process";
import type { Context } from "hono";
import type { RequestEnv } from "./serve.ts";

/** The loopback names and addresses, of IPv6 with or without brackets. Source: RFC 6761, section 6.3. */
const LOOPBACK = /^(?:(?:[^.]+\.)*localhost|127(?:\.\d+){3}|\[::1\]|::1)$/i;

/** Whether a host name or address is always this machine. */
export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host);
}

/** Headers that proxies add: the client behind the proxy may be on another machine. */
const PROXY_HEADERS =
  /^(?:forwarded|via|x-forwarded(?:-.+)?|x-original-.+|(?:x-)?(?:real|client|cluster-client|true-client)-ip|cf-connecting-ip)$/i;

/**
 * Whether the request came through a proxy: it has a header of a proxy, or is HTTP/1.0, which nginx uses by default and
 * browsers never do. A proxy that adds no header is recognized only by its user: see {@link isOwnUser}.
 */
export function isProxied(c: Context): boolean {
  return isHttp10(c) || [...c.req.raw.headers.keys()].some((name) => PROXY_HEADERS.test(name));
}

/**
 * Whether the request names this machine as its host. Any other name may belong to a hostile site and lead here (DNS
 * rebinding), and the site's page could read the response. An HTTP/1.0 probe may have no Host, and is not a browser.
 */
export function namesThisMachine(c: Context): boolean {
  if (isHttp10(c)) return true;
  const incoming = incomingOf(c);
  const hosts = incoming === undefined ? [] : hostsOf(incoming);
  const hasName = incoming === undefined || hosts.length > 0;
  return hasName && [c.req.url, ...hosts.map((host) => `http://${host}`)].every(isLoopbackUrl);
}

/** Each `Host` header: there may be several, and beside a whole URL in the first line any. */
function hostsOf({ rawHeaders }: IncomingMessage): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]!.toLowerCase() === "host");
}

function isLoopbackUrl(url: string): boolean {
  return URL.canParse(url) && isLoopbackHost(new URL(url).hostname);
}

/** Whether the browser uses TLS, with this server or with a proxy in front. */
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

/** Undefined if another server serves the app, or there is no socket. */
function incomingOf(c: Context): RequestEnv["incoming"] | undefined {
  return (c.env as Partial<RequestEnv> | undefined)?.incoming;
}

/** The result of {@link isOwnUser} per connection: a connection belongs to one user. */
const ownUsers = new WeakMap<Socket, Promise<boolean>>();

/**
 * Whether the program at the other end runs as our user or as root, by Linux's /proc/net/tcp; false if the system does
 * not say. True for a unix socket, since its mode decides who may connect, and for an app that another server serves:
 * there the app that mounts it is responsible.
 */
export async function isOwnUser(c: Context): Promise<boolean> {
  const socket = incomingOf(c)?.socket;
  if (socket === undefined) return true;
  if (typeof socket.remoteAddress !== "string") return !socket.destroyed;
  const known = ownUsers.get(socket) ?? isOwnUserAt(socket);
  ownUsers.set(socket, known);
  return known;
}

async function isOwnUserAt(socket: Socket): Promise<boolean> {
  const uid = await uidOfPeer(socket);
  return uid !== undefined && (uid === 0 || uid === process.getuid?.());
}

/** The uid of the program that connected over loopback; undefined if the system does not say. */
async function uidOfPeer(socket: Socket): Promise<number | undefined> {
  const theirs = kernelNames(socket.remoteAddress, socket.remotePort);
  const ours = kernelNames(socket.localAddress, socket.localPort);
  const { readFile } = await import("node:fs/promises"); // 1 ms of loading under Bun, needed here only
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "latin1").catch(() => "");
    for (const line of text.split("\n")) {
      const [, local = "", remote = "", state, , , , uid] = line.trim().split(/\s+/);
      if (state === ESTABLISHED && theirs.includes(local) && ours.includes(remote)) return Number(uid);
    }
  }
  return undefined;
}

/** Other states are skipped: the kernel lists a closing connection as root's. */
const ESTABLISHED = "01";

const IPV4_IN_IPV6 = "0000000000000000FFFF0000";

/** A loopback address and port as in /proc/net/tcp and tcp6; none for another address. */
function kernelNames(address: string | undefined, port: number | undefined): string[] {
  const suffix = `:${(port ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  if (address === "::1") return [`${"0".repeat(24)}${wordOf([0, 0, 0, 1])}${suffix}`];
  const [, ipv4] = /^(?:::ffff:)?(127(?:\.\d{1,3}){3})$/i.exec(address ?? "") ?? [];
  if (ipv4 === undefined) return [];
  const word = wordOf(ipv4.split(".").map(Number));
  return [`${word}${suffix}`, `${IPV4_IN_IPV6}${word}${suffix}`];
}

/** Four bytes as the kernel prints them: as an integer in the byte order of the machine. */
function wordOf(bytes: number[]): string {
  const ordered = endianness() === "LE" ? bytes.toReversed() : bytes;
  return Buffer.from(ordered).toString("hex").toUpperCase();
}
