/**
 * How many connections a listener has open.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** How long a request to the collector or the admin routes may take to arrive, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** Figures of a listener's connections. */
export interface ConnectionStats {
  /** How many are open. */
  readonly openCount: number;
  /** How many may be. */
  readonly maxCount: number;
  /** How many were cut to make room for others. */
  readonly cutCount: number;
}

interface Connection extends Occupant {
  readonly socket: Socket;
  /** When it was opened, or its last request began, by `performance.now()`. */
  sinceMs: number;
  incoming?: IncomingMessage;
  outgoing?: ServerResponse;
}

/**
 * The open connections. When one more comes than there may be, another makes room: of the address that has most of
 * them, the one that has waited longest for a request, or for the rest of one. So nobody who sends slowly, or nothing,
 * keeps others out, and clients behind one balancer, who share its address, need no share of their own. A request that
 * is there as a whole is never cut.
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

  /** Notes that TLS has begun on a connection: requests come by another socket from now on. */
  addTls(inner: Socket): void {
    for (const connection of this.#open) {
      const { remotePort, remoteAddress } = connection.socket;
      if (remotePort === inner.remotePort && remoteAddress === inner.remoteAddress)
        this.#bySocket.set(inner, connection);
    }
  }

  /** Notes that a request has begun. */
  note(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const connection = this.#bySocket.get(incoming.socket);
    if (connection === undefined) return;
    connection.sinceMs = performance.now();
    connection.incoming = incoming;
    connection.outgoing = outgoing;
  }

  /** Whether nothing of a response has been sent yet to what came last on a connection. */
  isBetweenResponses(socket: Socket): boolean {
    const outgoing = this.#bySocket.get(socket)?.outgoing;
    return outgoing === undefined || !outgoing.headersSent || outgoing.writableFinished;
  }

  closeAll(): void {
    for (const { socket } of this.#open) socket.destroy();
  }

  #makeRoom(): void {
    const victim = findGreediest(this.#open, { weigh: () => 1, isSpared: isAnswering });
    if (victim === undefined) return;
    this.cutCount++;
    this.#open.delete(victim); // at once: "close" comes later
    victim.socket.destroy();
  }
}

/** Who takes up room. */
export interface Occupant {
  readonly address: string;
  readonly sinceMs: number;
}

/**
 * Finds who must make room: of the address that takes up most, the one that has been there longest.
 *
 * @param weigh how much one takes up
 * @param isSpared who must not
 */
export function findGreediest<T extends Occupant>(
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
    const isGreedier = found === undefined || weightOf(one) > weightOf(found);
    if (isGreedier || (weightOf(one) === weightOf(found!) && one.sinceMs < found!.sinceMs)) found = one;
  }
  return found;
}

function isAnswering({ incoming, outgoing }: Connection): boolean {
  return incoming?.complete === true && outgoing?.writableFinished === false;
}
