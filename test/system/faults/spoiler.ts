import { once } from "node:events";
import {
  type AddressInfo,
  connect,
  createServer as createRawServer,
  type Server,
  type Socket,
} from "node:net";

/** Stands before the collector: spoils connections, or passes them on. */
export class Spoiler implements AsyncDisposable {
  /** What is done to new connections; undefined: they are passed on. */
  spoil: ((socket: Socket) => void) | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(collectorPort: number) {
    this.#server = createRawServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // it is meant to break
      socket.on("close", () => this.#sockets.delete(socket));
      if (this.spoil !== undefined) return this.spoil(socket);
      passOn(socket, collectorPort);
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Connects a connection through to a port of this machine. */
export function passOn(socket: Socket, port: number): Socket {
  const upstream = connect(port, "127.0.0.1");
  upstream.on("error", () => socket.destroy());
  socket.on("error", () => upstream.destroy());
  socket.on("close", () => upstream.destroy());
  upstream.on("close", () => socket.destroy());
  socket.pipe(upstream).pipe(socket);
  return upstream;
}
