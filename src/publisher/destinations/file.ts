/** A file of JSON lines, to look at what a service puts without a collector. */
import { type FileHandle, open } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { DEFAULT_HTTP_TIMEOUT_MS } from "../../config/http_config.ts";
import { lineOf } from "../../format.ts";
import type { Delivery, Destination, LeasedBatch, Outcome } from "./destination.ts";

const NEWLINE = 0x0a;

/** What is wrong with the place, and not with the moment: it does not pass by itself. */
const MISPLACED = new Set(["ENOENT", "EACCES", "EISDIR", "ENOTDIR", "EROFS", "EPERM"]);

/**
 * Appends events to a file, one JSON text per line. They are with the disk before they leave the queue. For
 * development: the file grows forever, and a publisher that was killed, or met a full disk, writes its batch again. It is
 * created with mode 0600; an existing file keeps its mode.
 */
export class FileDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number = DEFAULT_HTTP_TIMEOUT_MS;
  readonly emptyBatchBytes = 0;
  readonly #path: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
    this.url = pathToFileURL(path).href;
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    const lines = Buffer.concat(batch.events().flatMap(({ body }) => [lineOf(body), Buffer.of(NEWLINE)]));
    return { sizeBytes: lines.length, send: (stop) => this.#inTurn(() => this.#append(lines, stop)) };
  }

  async close(): Promise<void> {
    await this.#last;
  }

  /** One after the other, so that each begins a line. */
  #inTurn(work: () => Promise<Outcome>): Promise<Outcome> {
    const done = this.#last.then(work);
    this.#last = done;
    return done;
  }

  async #append(lines: Buffer, stop: AbortSignal): Promise<Outcome> {
    if (stop.aborted) return { kind: "unavailable", reason: "stopped before it was written" };
    try {
      await using file = await open(this.#path, "a+", 0o600); // events are not for everyone to read
      await append(file, lines);
      return { kind: "accepted" };
    } catch (error) {
      const { code = "", message } = error as NodeJS.ErrnoException;
      const reason = `Cannot write ${this.#path}: ${message}`;
      return { kind: MISPLACED.has(code) ? "misconfigured" : "unavailable", reason };
    }
  }
}

/** Whether the last line is part of one, of a publisher that was killed, or a full disk: what follows must not become part of it. */
async function isCutOff(file: FileHandle, size: number): Promise<boolean> {
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== NEWLINE;
}

/**
 * If the disk is full, a part of the lines may stay, and they are written again. It is not cut off: another publisher may
 * have appended behind it. With two of them on a full disk, that lost 164 of 3,020 events.
 */
async function append(file: FileHandle, lines: Buffer): Promise<void> {
  const { size } = await file.stat();
  if (await isCutOff(file, size)) await file.appendFile("\n");
  await file.appendFile(lines);
  await file.datasync();
}
