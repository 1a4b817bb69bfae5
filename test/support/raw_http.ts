import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

/** Opens a connection to the port of an address. @param localAddress where it comes from, such as `127.0.0.2` */
export async function connectTo(url: URL | string, localAddress: string = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1", localAddress });
  socket.on("error", () => {}); // a server that cuts a connection is no failure of the test
  await once(socket, "connect");
  return socket;
}

/** Sends the lines of a request's head as they are, and returns all that is answered until the server closes. */
export async function exchange(
  url: URL | string,
  lines: readonly string[],
  localAddress?: string,
): Promise<string> {
  const socket = await connectTo(url, localAddress);
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

/** Writes as many bytes as are due at a rate, now and then, until it is disposed of: a late timer makes up for it. */
export function trickle(bytesPerS: number, write: (bytes: number) => void): Disposable {
  const startedAtMs = performance.now();
  let written = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAtMs) / 1_000) * bytesPerS);
    write(due - written);
    written = due;
  }, 200);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
