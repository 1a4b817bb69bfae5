/**
 * A queue's identity: whether its file is the one that it was, or was moved, copied or restored.
 *
 * Ids are given one after the other, so a copy of a queue gives its next events the ids that the original gives its
 * own, and a collector would drop one of them as a duplicate. So a queue that is found elsewhere than it was last seen
 * begins a new epoch: events that are in it keep their names, and those put from then on get new ones.
 */
import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import {
  firstRow,
  firstValue,
  type SqliteConnection,
  Transactions,
  withStorageErrors,
} from "./user_connection.ts";

/** Events with consecutive ids that have the same UUID. */
export interface Epoch {
  /** The id of its first event; it lasts up to the first event of the next epoch. */
  readonly firstId: number;
  readonly uuid: string;
  /**
   * Why it began: the queue was created; its file was moved, copied or restored; a batch that was never sent before was
   * already known to the destination, so that the file must have been rolled back in place.
   */
  readonly reason: "created" | "moved" | "rolled_back";
  /** In Unix milliseconds. */
  readonly beganAtMs: number;
}

/** How many epochs without events are kept, for `queue check`. */
const MAX_PAST_EPOCHS = 100;

/** What is known of where a file is. What cannot be found out is left out. */
export interface FileLocation {
  /** Of the running kernel: no other machine has it, and no other run of this one, so no disk that was set back while it was off. */
  readonly boot?: string;
  /** The end of /etc/machine-id, where the boot's id cannot be read, as by Deno, which wants `--allow-all` for it. */
  readonly machine?: string;
  readonly device?: number;
  readonly inode?: number;
  /** When the file was made, in Unix milliseconds. An inode's number is used again at once, on ext4. */
  readonly bornAtMs?: number;
}

/**
 * Where a file is, by what a copy of it cannot have in common with it. By experiment: two containers of one image have
 * the same inode on overlayfs, after each other on the same device, too; but opening the file to write copies it
 * up, and so each has a file born at its own time. No host name, which differs between containers that share a volume.
 */
export function locate(path: string): FileLocation {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return {};
  const { dev, ino, birthtimeMs } = file;
  const boot = process.versions.deno === undefined ? readText("/proc/sys/kernel/random/boot_id") : undefined;
  const machine = boot === undefined ? readText("/etc/machine-id") : undefined;
  return {
    ...(boot !== undefined && { boot }),
    // A part of it: https://www.freedesktop.org/software/systemd/man/latest/machine-id.html wants it kept to oneself.
    ...(machine !== undefined && { machine: machine.slice(-8) }),
    device: dev,
    inode: ino,
    ...(birthtimeMs > 0 && { bornAtMs: Math.floor(birthtimeMs) }), // 0: the file system does not know; Deno has no fractions
  };
}

function readText(path: string): string | undefined {
  try {
    if (!mayRead(path)) return undefined;
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    return undefined; // no Linux, or a container without it
  }
}

/** Asked first, since at a terminal Deno would ask the person there, each time. */
function mayRead(path: string): boolean {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  return Deno === undefined || Deno.permissions.querySync({ name: "read", path }).state === "granted";
}

interface DenoPermissions {
  readonly permissions: { querySync(permission: { name: "read"; path: string }): { readonly state: string } };
}

/** Whether a file is in another place than before, as far as both are known. */
export function hasMoved(before: FileLocation, now: FileLocation): boolean {
  const keys = ["boot", "machine", "device", "inode", "bornAtMs"] as const;
  return keys.some((key) => before[key] !== undefined && now[key] !== undefined && before[key] !== now[key]);
}

/**
 * Begins a new epoch if the file was moved, copied or restored since it was last opened, and notes where it is. Most
 * often nothing is written, and no lock is taken. Returns whether it began one.
 *
 * @param path the database's file @throws {EventStorageError} the database cannot be written
 */
export function noteLocation(db: SqliteConnection, path: string, now: FileLocation = locate(path)): boolean {
  const look = (): { before: FileLocation; noted: string } => {
    const before = JSON.parse(
      String(firstValue(db, "SELECT location FROM eventspool_queue")),
    ) as FileLocation;
    const noted = JSON.stringify(hasMoved(before, now) ? now : { ...before, ...now });
    return { before, noted };
  };
  return withStorageErrors(db, path, () => {
    const { before, noted } = look();
    if (noted === JSON.stringify(before)) return false;
    return new Transactions(db, path).run(() => {
      const { before, noted } = look(); // again, since another process may have been first
      const moved = hasMoved(before, now);
      if (moved) beginEpoch(db, newestId(db) + 1, "moved");
      db.prepare("UPDATE eventspool_queue SET location = ?").run(noted);
      return moved;
    });
  });
}

/** The highest id ever given, from within a transaction. */
function newestId(db: SqliteConnection): number {
  return Number(
    firstValue(
      db,
      "SELECT max(coalesce((SELECT max(id) FROM eventspool_event), 0), claimed_id) FROM eventspool_queue",
    ),
  );
}

/** In a transaction. One that began at the same id is replaced: no event was put in it, or its events are to be renamed. */
export function beginEpoch(db: SqliteConnection, firstId: number, reason: Epoch["reason"]): void {
  db.prepare("INSERT OR REPLACE INTO eventspool_epoch VALUES (?, ?, ?, ?)").run(
    firstId,
    crypto.randomUUID(),
    reason,
    Date.now(),
  );
  const [oldestId] = firstRow(db.prepare("SELECT coalesce(min(id), ?) FROM eventspool_event"), firstId);
  db.prepare(FORGET).run(Number(oldestId), MAX_PAST_EPOCHS);
}

const FORGET = `
  DELETE FROM eventspool_epoch
  WHERE first_id < (SELECT max(first_id) FROM eventspool_epoch WHERE first_id <= ?)
    AND first_id NOT IN (SELECT first_id FROM eventspool_epoch ORDER BY first_id DESC LIMIT ?)`;
