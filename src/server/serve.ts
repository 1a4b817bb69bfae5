/** Serves an app on a TCP port or a unix socket: one code path on Bun, Deno and Node. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmod, lstat, rm } from "node:fs/promises";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { getRequestListener, RequestError } from "@hono/node-server";
import { ConfigurationError } from "../errors.ts";
import { explainFileError } from "../file_error.ts";
import { type ConnectionStats, Connections, REQUEST_TIMEOUT_MS } from "./connections.ts";

/** The most bytes of headers per request: 16 KiB, Node's default. */
const MAX_HEADER_BYTES = 16_384;

/** The most headers per request; a publisher sends a dozen. */
const MAX_HEADERS = 100;

/** Node's objects of a request, which an app also gets. */
export interface RequestEnv {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

/** Anything that responds to requests, such as a Hono app. */
export interface FetchApp {
  fetch(request: Request, env: RequestEnv): Response | Promise<Response>;
}

/** Where to listen. Port 0 is any free port. */
export type ServeAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** A certificate, its key, and the authority of client certificates, all in PEM. */
export interface ServeTls {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
  /** Clients must have a certificate signed by one of these. Undefined: clients need none. */
  readonly ca?: Uint8Array | undefined;
}

/** A served app. */
export interface ServedApp {
  /** The address: `http://127.0.0.1:9900`, or `unix:/path/to/socket`. */
  readonly address: string;
  /** The port; undefined for a unix socket. */
  readonly port: number | undefined;
  readonly connections: ConnectionStats;
  /** Stops accepting, lets running requests finish within `graceMs`, then closes their connections. */
  close(): Promise<void>;
}

/** Options of {@link serveApp}. */
export interface ServeOptions {
  /** The setting of the address, for errors. */
  readonly key?: string;
  /** The time for a whole request to arrive, in milliseconds. Default: {@link REQUEST_TIMEOUT_MS}. */
  readonly requestTimeoutMs?: number;
  /** How long requests may still run after `close`, in milliseconds. Default: 1,000. */
  readonly graceMs?: number;
  /** The most open connections. A new one beyond the limit replaces another. Default: {@link DEFAULT_MAX_CONNECTIONS}. */
  readonly maxConnections?: number;
  /** How long an idle connection stays open, in milliseconds. Default: {@link KEEP_ALIVE_MS}. */
  readonly keepAliveMs?: number;
  /** For HTTPS. Default: HTTP. */
  readonly tls?: ServeTls | undefined;
  /** The mode of a unix socket: users who may write to it may connect. Default: by the umask. */
  readonly socketMode?: number;
}

/** The default of {@link ServeOptions.graceMs}. */
const CLOSE_GRACE_MS = 1_000;

/** How often connections are checked for slow requests, in milliseconds. */
const CHECK_EVERY_MS = 1_000;

/** How often `close` closes connections that became idle, in milliseconds. */
const IDLE_SWEEP_MS = 20;

/**
 * How long an idle connection stays open, in milliseconds: longer than the 60 s of nginx and most other balancers. The
 * balancer must close first, otherwise it may send a request on a connection that is just being closed (502).
 */
const KEEP_ALIVE_MS = 75_000;

/** The default of the most open connections: enough for people and probes, and half of a process with 128 files. */
const DEFAULT_MAX_CONNECTIONS = 64;

/** The host of a request without a Host header, which HTTP/1.0 allows. */
const UNNAMED_HOST = "localhost";

/** "Misdirected Request": publishers treat it as a wrong address, and keep their events. */
const MISDIRECTED = 421;

/**
 * How long the rest of an unreadable request is waited for and discarded, in milliseconds, as by nginx
 * (`lingering_timeout`): a reset would discard the response too.
 */
const LINGER_MS = 5_000;

/**
 * Serves `app` on `address`. A unix socket that nobody answers any more is replaced; the socket's
 * file goes away on close. A request that arrives too slowly is answered 408, one with headers of more than
 * {@link MAX_HEADER_BYTES} or {@link MAX_HEADERS} of them 431: on Bun, Deno and Node alike.
 *
 * @throws {ConfigurationError} (rejects) the address is in use, not permitted, or not of this machine; or the certificate
 * cannot be used
 */
export async function serveApp(
  app: FetchApp,
  address: ServeAddress,
  options: ServeOptions = {},
): Promise<ServedApp> {
  const { key, tls, graceMs = CLOSE_GRACE_MS, maxConnections = DEFAULT_MAX_CONNECTIONS } = options;
  if (tls !== undefined) checkCertificate(tls, key);
  if ("path" in address) await removeStaleSocket(address.path);
  const server = createServer(app, options);
  const connections = new Connections(maxConnections);
  server.on("connection", (socket: Socket) => connections.add(socket));
  server.on("secureConnection", (socket: Socket) => connections.addTls(socket));
  server.on("tlsClientError", (_error, socket: Socket) => socket.destroy()); // theirs, or a health check's of TCP alone
  server.on("request", (incoming, outgoing) => connections.note(incoming, outgoing));
  server.on("clientError", (error: UnreadableError, socket: Socket) => {
    if (connections.isBetweenResponses(socket)) rejectUnreadable(error, socket);
    else socket.destroy();
  });
  await listen(server, { ...address, backlog: Math.ceil(maxConnections / 2) }, key);
  if ("path" in address && options.socketMode !== undefined) await chmod(address.path, options.socketMode);
  let closing: Promise<void> | undefined;
  return {
    ...describeListener(server, address, tls === undefined ? "http" : "https"),
    connections,
    close: () => {
      closing ??= closeListener(server, connections, graceMs);
      return closing;
    },
  };
}

function createServer(app: FetchApp, options: ServeOptions): Server {
  const { requestTimeoutMs = REQUEST_TIMEOUT_MS, keepAliveMs = KEEP_ALIVE_MS, tls } = options;
  const answer = getRequestListener((request, env) => app.fetch(request, env as RequestEnv), {
    hostname: UNNAMED_HOST,
    overrideGlobalObjects: false, // Request and Response of the process belong to the service
    errorHandler: describeFailure,
  });
  const serverOptions = {
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    handshakeTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, requestTimeoutMs),
    maxHeaderSize: MAX_HEADER_BYTES,
    requireHostHeader: false, // the app decides, as with HTTP/1.0: a 400 would blame the events
  };
  const server =
    tls === undefined
      ? createHttpServer(serverOptions, answer)
      : createHttpsServer({ ...serverOptions, ...secureOptions(tls) }, answer);
  server.maxHeadersCount = MAX_HEADERS;
  return server;
}

/**
 * A request with an invalid target or Host is wrong, but its events are not: a 400 would blame them. Any other error is a
 * failure of the server.
 */
function describeFailure(error: unknown): Response {
  if (error instanceof RequestError)
    return Response.json({ error: `${error.message}.` }, { status: MISDIRECTED });
  return Response.json({ error: "The server failed. Send it again." }, { status: 500 });
}

/** An error of the HTTP parser, with the bytes. */
type UnreadableError = NodeJS.ErrnoException & { readonly rawPacket?: Uint8Array };

const UNREADABLE_STATUSES: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

/** The beginning of the PROXY protocol, versions 1 and 2. */
const PROXY_PROTOCOL = /^(?:PROXY |\r\n\r\n\0\r\nQUIT\n)/;

/**
 * Responds to bytes that are not an HTTP request. The runtimes would respond 400, which blames the events: a balancer
 * with the PROXY protocol would make dead letters.
 */
function rejectUnreadable(error: UnreadableError, socket: Socket): void {
  if (!socket.writable) return; // the rest of a request that has its response
  const status = UNREADABLE_STATUSES[error.code ?? ""] ?? MISDIRECTED;
  const body = JSON.stringify({ error: describeUnreadable(status, error) });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.resume();
  socket.setTimeout(LINGER_MS, () => socket.destroy());
}

function describeUnreadable(status: number, { code, rawPacket = new Uint8Array() }: UnreadableError): string {
  if (status === 408) return "The request arrives too slowly.";
  if (status === 431) return `The headers are longer than ${MAX_HEADER_BYTES} bytes.`;
  const beginning = Buffer.from(rawPacket.subarray(0, 16)).toString("latin1");
  return PROXY_PROTOCOL.test(beginning)
    ? "The balancer uses the PROXY protocol, which this server does not support. Remove send-proxy (HAProxy) or proxy_protocol (nginx) for this server."
    : `This is not an HTTP/1.1 request (${code}): a client or a proxy uses another protocol, or damages requests.`;
}

/** Checks the certificate now: the runtimes do so at different times, Deno with the first connection. @throws {ConfigurationError} */
function checkCertificate({ cert, key, ca }: ServeTls, setting: string | undefined): void {
  try {
    if (ca !== undefined) new X509Certificate(ca);
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(Buffer.from(key)))) return;
  } catch (cause) {
    throw unusable((cause as Error).message, cause);
  }
  throw unusable("certificate and key do not belong together");

  function unusable(reason: string, cause?: unknown): ConfigurationError {
    const problem = `cannot use the certificate, its key or the authority's certificate: ${reason}.`;
    return new ConfigurationError(problem, setting ? { key: setting } : {}, { cause });
  }
}

function secureOptions({ cert, key, ca }: ServeTls) {
  const asks = ca !== undefined;
  return {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    ...(asks && { ca: Buffer.from(ca) }),
    requestCert: asks,
    rejectUnauthorized: asks,
    ALPNProtocols: ["http/1.1"],
  };
}

/**
 * The backlog bounds how many connections come in one tick of the event loop, before there is a chance to close others:
 * Deno 2.9 never accepts again after it has run out of file descriptors once.
 */
async function listen(
  server: Server,
  address: ServeAddress & { readonly backlog: number },
  key: string | undefined,
): Promise<void> {
  const listening = once(server, "listening");
  server.listen(address);
  try {
    await listening;
  } catch (error) {
    throw describeListenError(error as NodeJS.ErrnoException, address, key);
  }
}

function describeListener(
  server: Server,
  address: ServeAddress,
  scheme: "http" | "https",
): Pick<ServedApp, "address" | "port"> {
  if ("path" in address) return { address: `unix:${address.path}`, port: undefined };
  const { port } = server.address() as AddressInfo;
  return { address: `${scheme}://${joinHostPort(address.host, port)}`, port };
}

async function closeListener(server: Server, connections: Connections, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
  const cut = setTimeout(() => {
    server.closeAllConnections();
    connections.closeAll();
  }, graceMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
}

/** Removes the socket of a process that was killed: its file would prevent listening. */
async function removeStaleSocket(path: string): Promise<void> {
  const isSocket = await lstat(path).then(
    (entry) => entry.isSocket(),
    () => false,
  );
  if (isSocket && (await isRejected(path))) await rm(path, { force: true });
}

async function isRejected(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  } finally {
    socket.destroy();
  }
}

function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function describeListenError(
  error: NodeJS.ErrnoException,
  address: ServeAddress,
  key: string | undefined,
): ConfigurationError {
  const isUnix = "path" in address;
  const place = isUnix ? `unix socket ${address.path}` : joinHostPort(address.host, address.port);
  const reason = isUnix
    ? unixReason(error, address.path)
    : (TCP_REASONS[error.code ?? ""] ?? `${error.message}.`);
  return new ConfigurationError(`cannot listen on ${place}: ${reason}`, key ? { key } : {}, { cause: error });
}

const NO_SUCH_ADDRESS =
  "this machine does not have the address. Use 127.0.0.1, 0.0.0.0, or an address of one of its interfaces.";

const TCP_REASONS: Record<string, string> = {
  EADDRINUSE: "the address is in use. Stop the process that listens there, or choose another port.",
  EACCES: "this user may not listen on the port. Choose a port above 1023.",
  EADDRNOTAVAIL: NO_SUCH_ADDRESS,
  EINVAL: NO_SUCH_ADDRESS, // of Deno
  ENOTFOUND: NO_SUCH_ADDRESS,
  ENOENT: NO_SUCH_ADDRESS, // of Bun, for an unknown host name after another ENOENT
};

function unixReason(error: NodeJS.ErrnoException, path: string): string {
  return UNIX_REASONS[error.code ?? ""] ?? `${explainFileError(error, path)}. Choose another path.`;
}

const NAME_TOO_LONG = "the path is too long for a socket (107 bytes on Linux). Choose a shorter one.";
const UNIX_REASONS: Record<string, string> = {
  EADDRINUSE:
    "another process listens there, or the file is not a socket. Stop the process, or choose another path.",
  EINVAL: NAME_TOO_LONG,
  ENAMETOOLONG: NAME_TOO_LONG, // of Bun
};
