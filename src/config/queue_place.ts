/**
 * Where a publisher's queue is: a directory, or a service's database.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { DEFAULT_BALLAST_BYTES, DEFAULT_FILE_MODE, MAX_BALLAST_BYTES } from "../limits.ts";
import type { ConfigSection } from "./config_section.ts";
import { bytesIn, optional, parseFileMode, parseText } from "./values.ts";

/** Where a publisher's queue is, and what the publisher does there. */
export interface QueuePlace {
  /** `queue.directory` (ours): where the queue's file is, as written. Default: `undefined`, left to the environment. */
  readonly directory: string | undefined;
  /**
   * `queue.file` (ours): a service's database whose outbox is published, as an absolute path. Relative in a file, it
   * is so to that file's directory. Default: `undefined`, the queue has a file of its own in the directory.
   */
  readonly file: string | undefined;
  /** `queue.file_mode` (ours): the mode of a queue file that the publisher makes. Default: 0600. */
  readonly fileMode: number;
  /**
   * `queue.ballast` (ours): how much space is kept back for a full disk, in a file beside the queue's, in bytes;
   * 0 if `off`. At most an eighth of the free space is taken. Default: 16 MiB, and none beside a service's database.
   */
  readonly ballastBytes: number;
}

/**
 * Reads it from a publisher's section.
 *
 * @param configFile the configuration's file, where there is one @throws {ConfigurationError}
 */
export function readQueuePlace(section: ConfigSection, configFile: string | undefined): QueuePlace {
  const base = configFile === undefined ? "." : dirname(configFile);
  const directory = section.read("queue.directory", optional(parseText, undefined));
  const file = section.read(
    "queue.file",
    optional((path) => resolve(base, parseText(path)), undefined),
  );
  const ballastBytes = file === undefined ? DEFAULT_BALLAST_BYTES : 0;
  if (file !== undefined && directory !== undefined)
    throw section.error("queue.file", "is set, and so is queue.directory: keep one of them");
  if (file !== undefined && section.has("queue.file_mode"))
    section.warn("queue.file_mode", "has no effect beside queue.file: that file is the service's");
  return {
    directory,
    file,
    ballastBytes: section.read("queue.ballast", optional(parseSizeOrOff, ballastBytes)),
    fileMode: section.read("queue.file_mode", optional(parseFileMode, DEFAULT_FILE_MODE)),
  };
}

function parseSizeOrOff(text: string): number {
  return text === "off" ? 0 : bytesIn({ min: 0, max: MAX_BALLAST_BYTES })(text);
}
