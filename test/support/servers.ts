import { createSocket } from "node:dgram";
import { type EventEmitter, once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";

/** A request as a server read it. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A server on loopback; disposing of it cuts its connections: `await using server = await serveHttp(...);`. */
export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Those that were read to their end, whatever was answered. */
  readonly requests: ReceivedRequest[];
}

/** What a server does to a request that it has read. */
export type Answer = (response: ServerResponse, request: ReceivedRequest) => void;

/** Serves HTTP, reading each request before `answer` is called. */
export async function serveHttp(answer: Answer): Promise<TestServer> {
  const requests: ReceivedRequest[] = [];
  const server = createHttpServer(async (incoming, response) => {
    const { method = "", url = "", headers } = incoming;
    const body = await buffer(incoming).catch(() => undefined);
    if (body === undefined) return; // a client that was stopped is no failure of the server
    const request = { method, path: url, headers, body };
    requests.push(request);
    answer(response, request);
  });
  return { requests, ...(await listen(server)) };
}

/** Serves whatever `onConnection` makes of a connection. */
export async function serveTcp(onConnection: (socket: Socket) => void): Promise<TestServer> {
  return { requests: [], ...(await listen(createTcpServer(onConnection))) };
}

/**
 * TCP ports that are free, and that no other test gets while this process runs: a UDP socket on the same port holds each.
 * They are below those that Linux gives to port 0 and to clients (32,768 and above), so that nobody gets one between its
 * end and its next start.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if ((await isHeldByUs(port)) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

async function isHeldByUs(port: number): Promise<boolean> {
  const holder = createSocket("udp4").unref();
  holder.bind({ port, address: "127.0.0.1", exclusive: true });
  return await hasStarted(holder);
}

async function isFree(port: number): Promise<boolean> {
  const server = createTcpServer().listen(port, "127.0.0.1");
  if (!(await hasStarted(server))) return false;
  server.close();
  await once(server, "close");
  return true;
}

/** Whether a socket listens; false: somebody else has its port. */
async function hasStarted(socket: EventEmitter): Promise<boolean> {
  return await once(socket, "listening").then(
    () => true,
    () => false,
  );
}

/** The URL of a port where nothing listens any more. */
export async function rejectingUrl(): Promise<string> {
  const [port] = await freePorts(1);
  return `http://127.0.0.1:${port}`;
}

async function listen(server: Server): Promise<Omit<TestServer, "requests">> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // a client that goes away is no failure of the server
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
