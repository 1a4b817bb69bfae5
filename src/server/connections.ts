/** Limits the open connections of a listener. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** The default time for a whole request to arrive, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** The counts of a listener's connections. */
export interface ConnectionStats {
  /** Open connections. */
  readonly openCount: number;
  /** The most that may be open. */
  readonly maxCount: number;
  /** Connections that were closed to make room for new ones. */
  readonly cutCount: number;
}

interface Connection extends Occupant {
  readonly socket: Socket;
  /** When the connection was opened, or its last request began, by `performance.now()`. */
  sinceMs: number;
  incoming?: IncomingMessage;
  outgoing?: ServerResponse;
}

/**
 * The open connections. When a new one exceeds the limit, another is closed: of the address with the most connections,
 * the one that has waited longest for a request, or for the rest of one. So a client that sends slowly or nothing cannot
 * block others, and clients behind one balancer, which share its address, need no limit of their own. A connection with
 * a complete request is never closed.
 */
export class Connections implements ConnectionStats {
  readonly maxCount: number;
  cutCount = 0;
  readonly #open = new Set<Connection>();
  readonly #bySocket = new WeakMap<Socket, Connection>();

  constructor(maxCount: number) {
    this.maxCount = maxCount;
  }

  get openCount(): number {
    return this.#open.size;
  }

  add(socket: Socket): void {
    if (this.#open.size >= this.maxCount) this.#makeRoom();
    const connection = { socket, address: socket.remoteAddress ?? "", sinceMs: performance.now() };
    this.#open.add(connection);
    this.#bySocket.set(socket, connection);
    socket.once("close", () => this.#open.delete(connection));
  }

  /** Records that a connection uses TLS: its requests come from another socket object. */
  addTls(inner: Socket): void {
    for (const connection of this.#open) {
      const { remotePort, remoteAddress } = connection.socket;
      if (remotePort === inner.remotePort && remoteAddress === inner.remoteAddress)
        this.#bySocket.set(inner, connection);
    }
  }

  /** Records that a request began. */
  note(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const connection = this.#bySocket.get(incoming.socket);
    if (connection === undefined) return;
    connection.sinceMs = performance.now();
    connection.incoming = incoming;
    connection.outgoing = outgoing;
  }

  /** Whether no response to the last request of a connection is being sent. */
  isBetweenResponses(socket: Socket): boolean {
    const outgoing = this.#bySocket.get(socket)?.outgoing;
    return outgoing === undefined || !outgoing.headersSent || outgoing.writableFinished;
  }

  closeAll(): void {
    for (const { socket } of this.#open) socket.destroy();
  }

  #makeRoom(): void {
    const victim = findHeaviest(this.#open, { weigh: () => 1, isSpared: isAnswering });
    if (victim === undefined) return;
    this.cutCount++;
    this.#open.delete(victim); // now, since "close" comes later
    victim.socket.destroy();
  }
}

/** A client's use of a shared budget. */
export interface Occupant {
  readonly address: string;
  readonly sinceMs: number;
}

/**
 * Finds the occupant to remove: of the address that uses the most, the oldest one.
 *
 * @param weigh returns how much an occupant uses
 * @param isSpared whether an occupant must stay
 */
export function findHeaviest<T extends Occupant>(
  occupants: Iterable<T>,
  { weigh, isSpared }: { weigh: (one: T) => number; isSpared: (one: T) => boolean },
): T | undefined {
  const all = [...occupants];
  const weights = new Map<string, number>();
  for (const one of all) weights.set(one.address, (weights.get(one.address) ?? 0) + weigh(one));
  const weightOf = ({ address }: T): number => weights.get(address)!;
  let found: T | undefined;
  for (const one of all) {
    if (isSpared(one)) continue;
    const isHeavier = found === undefined || weightOf(one) > weightOf(found);
    if (isHeavier || (weightOf(one) === weightOf(found!) && one.sinceMs < found!.sinceMs)) found = one;
  }
  return found;
}

function isAnswering({ incoming, outgoing }: Connection): boolean {
  return incoming?.complete === true && outgoing?.writableFinished === false;
}
