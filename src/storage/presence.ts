/**
 * How other processes see that a queue has a publisher: a small file beside the queue's, `events-NAME.db-publisher`.
 *
 * @module
 */
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { VERSION } from "../version.ts";

/** How often a publisher shows that it lives, in milliseconds. */
export const PRESENCE_EVERY_MS = 1_000;

/** A publisher that has not shown itself for so long is dead, or hangs, in milliseconds. */
const PRESENCE_EXPIRES_MS = 5_000;

/** What a publisher says of itself. Without events, responses and secrets: whoever reads the directory may see it. */
export interface PresenceReport {
  readonly health: string;
  readonly reasons: readonly string[];
  readonly delivered: number;
  /** When it last delivered, in Unix milliseconds; undefined: not since its start. */
  readonly lastSuccessAtMs?: number | undefined;
}

/** The publisher that has shown itself last; a queue may have several. */
export interface SeenPublisher extends Partial<PresenceReport> {
  readonly isAlive: boolean;
  /** In Unix milliseconds. */
  readonly seenAtMs: number;
  /** Its process, in its own namespace of process ids. */
  readonly pid?: number;
  readonly version?: string;
}

/** A publisher's sign of life. What fails is left out: publishing does not depend on it. */
export class Presence {
  readonly #path: string;
  readonly #mode: number;
  #written = "";

  /** @param queuePath the queue's file @param mode the mode of the file, such as 0o600 */
  constructor(queuePath: string, mode: number) {
    this.#path = presencePath(queuePath);
    this.#mode = mode;
  }

  /** To be called every {@link PRESENCE_EVERY_MS}. Writes only what has changed: else the time of the file says it all. */
  show(report: PresenceReport): void {
    const text = `${JSON.stringify({ pid: process.pid, version: VERSION, ...report })}\n`;
    try {
      if (text === this.#written) utimesSync(this.#path, new Date(), new Date());
      else writeFileSync(this.#path, text, { mode: this.#mode });
      this.#written = text;
    } catch {
      this.#written = ""; // removed, on a full disk, or not ours: `status` says that no publisher is seen
    }
  }

  /** The publisher stops. */
  end(): void {
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // it expires
    }
  }
}

/** Undefined: none has been here, or the last one has stopped. */
export function seenPublisher(queuePath: string): SeenPublisher | undefined {
  const stats = statSync(presencePath(queuePath), { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const isAlive = Date.now() - stats.mtimeMs < PRESENCE_EXPIRES_MS;
  return { ...reportIn(presencePath(queuePath)), isAlive, seenAtMs: stats.mtimeMs };
}

function reportIn(path: string): Partial<SeenPublisher> {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Partial<SeenPublisher>;
  } catch {
    return {}; // it is being written, or not ours to read
  }
}

function presencePath(queuePath: string): string {
  return `${queuePath}-publisher`;
}
