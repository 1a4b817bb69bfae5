import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

/** Opens a connection to the port of an address. */
export async function connectTo(url: URL | string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => {}); // a server that cuts a connection is no failure of the test
  await once(socket, "connect");
  return socket;
}

/** Sends the lines of a request's head as they are, and returns all that is answered until the server closes. */
export async function exchange(url: URL | string, lines: readonly string[]): Promise<string> {
  const socket = await connectTo(url);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  try {
    return await text(socket);
  } finally {
    socket.destroy();
  }
}

/** The status of an answer. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
}
