/**
 * How other processes see that a subscription has a publisher: a small file beside the queue's,
 * `events-NAME.db-publisher`, with `-SUBSCRIPTION` behind it unless it is the default one.
 */
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { VERSION } from "../version.ts";
import { removeAbandoned, temporaryPathFor } from "./locations.ts";
import { DEFAULT_SUBSCRIPTION } from "./subscriptions.ts";

/** How often a publisher shows that it lives, in milliseconds. */
export const PRESENCE_EVERY_MS = 1_000;

/** A publisher that has not shown itself for so long is dead, or hangs, in milliseconds. */
const PRESENCE_EXPIRES_MS = 5_000;

/** What a publisher says about itself. No events, responses or secrets: every user who may read the directory sees it. */
export interface PresenceReport {
  readonly health: string;
  /** What speaks against `ok`, a sentence each. */
  readonly reasons: readonly string[];
  /** Events delivered since its start. */
  readonly delivered: number;
  /** When it last delivered, in Unix milliseconds; undefined: not since its start. */
  readonly lastSuccessAtMs?: number | undefined;
}

/** The publisher that has shown itself last; a subscription may have several. */
export interface SeenPublisher {
  readonly isAlive: boolean;
  /** In Unix milliseconds. */
  readonly seenAtMs: number;
  /** Undefined: its report cannot be read. */
  readonly report: (PresenceReport & { readonly pid: number; readonly version: string }) | undefined;
}

/** A publisher's sign of life. If it fails, publishing continues without it. */
export class Presence {
  readonly #path: string;
  /** What the names of temporary files begin with: short enough for the longest names. */
  readonly #temporaryBase: string;
  readonly #mode: number;
  #written = "";

  /** @param queuePath the queue's file @param mode the mode of the file, such as 0o600 */
  constructor(queuePath: string, subscription: string, mode: number) {
    this.#path = presencePath(queuePath, subscription);
    this.#temporaryBase = presencePath(queuePath, DEFAULT_SUBSCRIPTION);
    this.#mode = mode;
    removeAbandoned(this.#temporaryBase);
  }

  /** To be called every {@link PRESENCE_EVERY_MS}. Writes only a report that has changed, and else the file's time. */
  show(report: PresenceReport): void {
    const text = `${JSON.stringify({ pid: process.pid, version: VERSION, ...report })}\n`;
    try {
      if (text === this.#written) utimesSync(this.#path, new Date(), new Date());
      else this.#write(text);
      this.#written = text;
    } catch {
      this.#written = ""; // removed, or on a full disk: try again next time
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

  /** Renamed into its place, so that it is never read half-written, and no symbolic link is followed. */
  #write(text: string): void {
    const temporary = temporaryPathFor(this.#temporaryBase);
    try {
      writeFileSync(temporary, text, { mode: this.#mode, flag: "wx" });
      renameSync(temporary, this.#path);
    } finally {
      rmSync(temporary, { force: true });
    }
  }
}

/** Undefined: the subscription has had no publisher, or the last one has stopped. */
export function seenPublisher(queuePath: string, subscription: string): SeenPublisher | undefined {
  const path = presencePath(queuePath, subscription);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const isAlive = Date.now() - stats.mtimeMs < PRESENCE_EXPIRES_MS;
  return { isAlive, seenAtMs: stats.mtimeMs, report: readReport(path) };
}

function readReport(path: string): SeenPublisher["report"] {
  try {
    const { pid, version, health, reasons, delivered, lastSuccessAtMs } = JSON.parse(
      readFileSync(path, "utf8"),
    );
    const isReport =
      [pid, delivered, lastSuccessAtMs ?? 0].every(Number.isFinite) &&
      [version, health, ...reasons].every((text) => typeof text === "string");
    return isReport ? { pid, version, health, reasons, delivered, lastSuccessAtMs } : undefined;
  } catch {
    return undefined; // removed meanwhile, or not readable for this user
  }
}

function presencePath(queuePath: string, subscription: string): string {
  return `${queuePath}-publisher${subscription === DEFAULT_SUBSCRIPTION ? "" : `-${subscription}`}`;
}
