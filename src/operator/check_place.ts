/**
 * What is to be said of a queue's directory, disk and file, without opening the file.
 *
 * @module
 */
import { type Stats, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { formatSize } from "../format.ts";
import { freeBytesOf, isNearlyFull } from "../store/disk_room.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** File systems over a network, by the type that statfs tells. SQLite's WAL needs memory shared by all who use the file. */
const NETWORK_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  26985: "NFS",
  20859: "SMB",
  4283649346: "CIFS",
  4266872130: "SMB2",
  6353761: "FUSE",
};

/** A -wal above this has not been checkpointed for long, in bytes: a publisher begins at 8 MB, producers at 64. */
const LARGE_WAL_BYTES = 80_000_000;

/** Mode, owner and disk of the directory. */
export function* examineDirectory(path: string): Generator<Finding> {
  const directory = dirname(path);
  const { mode } = statSync(directory);
  if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0)
    yield warning(
      `everyone may delete files in ${directory} (mode ${octal(mode)})`,
      `chmod 700 ${directory}, or 770 for a group that shares it`,
    );
  else yield ok(`directory ${directory} (mode ${octal(mode)})`);
  const fileSystem = NETWORK_FILE_SYSTEMS[statfsSync(directory).type];
  if (fileSystem !== undefined)
    yield warning(
      `${directory} is on ${fileSystem}`,
      "use a local disk: SQLite's WAL breaks when two hosts use the file",
    );
  const free = `${formatSize(freeBytesOf(directory))} free on the disk`;
  if (isNearlyFull(directory)) yield problem(free, "free some space: puts are refused, or soon will be");
  else yield ok(free);
}

/** Kind, mode, owner and size of the file. Nothing: go on and open it. */
export function* examineFile(path: string): Generator<Finding> {
  const file = statSync(path);
  if (!file.isFile()) {
    yield problem(`${path} is not a file`, "move it away, so that a queue can be made there");
    return;
  }
  yield* examineMode(path, file);
  const walBytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  const sizes = `file ${formatSize(file.size)}, -wal ${formatSize(walBytes)}`;
  if (walBytes > LARGE_WAL_BYTES)
    yield warning(sizes, "see that a publisher runs and no program keeps the file open for reading");
  else yield ok(sizes);
}

function* examineMode(path: string, { mode, uid }: Stats): Generator<Finding> {
  const shown = `${path} (mode ${octal(mode)}, owner ${uid})`;
  if ((mode & 0o007) !== 0) yield warning(`everyone may read or write ${shown}`, `chmod 600 ${path}`);
  else yield ok(shown);
  const odd = ["-wal", "-shm"].filter((suffix) => {
    const side = statSync(path + suffix, { throwIfNoEntry: false });
    return side !== undefined && side.uid !== uid;
  });
  if (odd.length > 0)
    yield problem(
      `${odd.join(" and ")} belong to another owner than the file`,
      `chown them as the file is, or its owner cannot use it: a program ran as another user (we are ${process.getuid?.()})`,
    );
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
