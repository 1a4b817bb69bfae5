/** The file system that a queue's file is on: how large it is, and whether SQLite's locks hold there. */
import fs, { type StatsFs } from "node:fs";
import { dirname } from "node:path";
import { EventStorageError } from "../errors.ts";

/** Undefined where it cannot be looked at: the directory is gone, which others notice, or Deno may not (--allow-sys=statfs). */
export function diskOf(directory: string): StatsFs | undefined {
  try {
    return fs.statfsSync(directory);
  } catch {
    return undefined;
  }
}

/**
 * File systems over a network or of another kernel, by the type that statfs returns (Linux: `linux/magic.h`, `statfs(2)`).
 * SQLite's WAL needs memory and locks that all users of the file share; there they may seem to work, and do not.
 */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x65735546, "FUSE"],
  [0x01021997, "9p"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x20030528, "OrangeFS"],
  [0x786f4256, "VirtualBox shared folders"],
  [0xbacbacbc, "VMware shared folders"],
]);

/** What a file system is called if it is one over a network or of another kernel; undefined: it is not, or cannot be known. */
export function networkFileSystemOf(
  directory: string,
  type: number | undefined = diskOf(directory)?.type,
): string | undefined {
  return type === undefined ? undefined : NETWORK_FILE_SYSTEMS.get(type >>> 0); // some give it with a sign
}

/** @throws {EventStorageError} `NETWORK_FILE_SYSTEM` */
export function rejectNetworkFileSystem(path: string): void {
  const name = networkFileSystemOf(dirname(path));
  if (name === undefined) return;
  const problem = `The queue file ${path} is on a network file system (${name}), where SQLite's locks may not hold and events may be lost: use a local disk. If only one host uses it and its locks work, set queue.allow_network_file_system = true (option allowNetworkFileSystem).`;
  throw new EventStorageError("NETWORK_FILE_SYSTEM", path, problem);
}
