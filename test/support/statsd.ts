import { createSocket } from "node:dgram";
import { once } from "node:events";

/** A statsd on loopback: `await using statsd = await listenAsStatsd();`. */
export interface TestStatsd extends AsyncDisposable {
  readonly endpoint: { readonly host: string; readonly port: number };
  /** Resolves with the first `count` packets, sorted: UDP promises no order. */
  packets(count: number): Promise<string[]>;
}

/** Listens for metrics. */
export async function listenAsStatsd(): Promise<TestStatsd> {
  const socket = createSocket("udp4");
  const packets: string[] = [];
  socket.on("message", (packet) => packets.push(packet.toString()));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    endpoint: { host: "127.0.0.1", port: socket.address().port },
    packets: async (count) => {
      while (packets.length < count) await once(socket, "message");
      return packets.slice(0, count).sort();
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}
