import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream";

/**
 * A simple load balancer for TCP: each connection goes to the next server in turn, or to the one after it if the
 * server does not accept it.
 */
export class LoadBalancer implements AsyncDisposable {
  /** The servers as `host:port`. A change affects new connections. */
  servers: readonly string[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor(servers: readonly string[]) {
    this.servers = servers;
    this.#server = createServer((client) => void this.#serve(client));
  }

  /** Listens on a free port of this machine. @param servers `host:port` of each */
  static async open(servers: readonly string[]): Promise<LoadBalancer> {
    const balancer = new LoadBalancer(servers);
    await once(balancer.#server.listen(0, "127.0.0.1"), "listening");
    return balancer;
  }

  /** `127.0.0.1:PORT`. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(client: Socket): Promise<void> {
    this.#keep(client);
    const server = await this.#dial();
    if (server === undefined || client.destroyed) {
      client.destroy();
      server?.destroy();
      return;
    }
    const ignore = (): void => {}; // the other end is destroyed with the one that broke
    pipeline(client, server, ignore);
    pipeline(server, client, ignore);
  }

  async #dial(): Promise<Socket | undefined> {
    const { servers } = this;
    for (let tried = 0; tried < servers.length; tried++) {
      const [host, port] = servers[this.#next++ % servers.length]!.split(":");
      const socket = createConnection({ host, port: Number(port) });
      try {
        await once(socket, "connect");
        this.#keep(socket);
        return socket;
      } catch {
        socket.destroy();
      }
    }
    return undefined;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {}); // the pipeline ends both
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
