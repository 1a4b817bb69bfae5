/**
 * A disk that forgets: replays what `disk_recorder.c` recorded of real processes, and gives what a power cut may leave
 * of their files at any point of it.
 *
 * Durable is what was written before a sync began that has ended. Of the rest a disk may keep anything: nothing, all of
 * it, single writes in any order, single sectors of them. New, renamed and removed names are durable with the next sync
 * of any file, in their order, as ext4 and XFS have it, or only with a sync of their directory, as POSIX has it.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** One recorded operation; `type` is that of `disk_recorder.c`. */
export interface Operation {
  readonly type: string;
  readonly file: bigint;
  readonly offset: number;
  readonly timeUs: number;
  readonly data: Buffer;
  /** Where it begins in the record, by which syncs say what they cover. */
  readonly position: number;
}

/** What a program says it has done, in a file named `marks`, and when. */
export interface Mark {
  readonly text: string;
  readonly timeUs: number;
}

/** Who decides what a cut leaves: returns a number from 0 (inclusive) to 1. */
export type Random = () => number;

/** Which file systems are played: see the module. */
export type Names = "journaled" | "synced";

const HEAD_BYTES = 29;
const SECTOR_BYTES = 512;
const MARKS = "marks";

/** Reads a record. */
export function readRecord(path: string): Operation[] {
  const record = readFileSync(path);
  const operations: Operation[] = [];
  for (let position = 0; position < record.length; ) {
    const length = record.readUInt32LE(position + 25);
    const start = position + HEAD_BYTES;
    operations.push({
      type: String.fromCharCode(record[position]!),
      file: record.readBigUInt64LE(position + 1),
      offset: Number(record.readBigUInt64LE(position + 9)),
      timeUs: Number(record.readBigUInt64LE(position + 17)),
      data: record.subarray(start, start + length),
      position,
    });
    position = start + length;
  }
  return operations;
}

/** Returns numbers that a seed decides: mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes of a file, or its new size. */
type Change = Pick<Operation, "type" | "offset" | "data" | "position">;

/** A name that was made, linked, renamed or removed. */
interface NameChange {
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly file: DiskFile | undefined;
  readonly position: number;
}

/** A file that a power cut has left. */
export interface LeftFile {
  readonly inode: bigint;
  readonly content: Buffer;
}

interface DiskFile {
  readonly inode: bigint;
  readonly durable: Image;
  pending: Change[];
}

/** The disk as it is after the operations so far. */
export class RecordedDisk {
  readonly marks: Mark[] = [];
  timeUs = 0;
  readonly #names: Names;
  readonly #files = new Map<bigint, DiskFile>();
  readonly #directories = new Map<bigint, string>();
  readonly #durableNames = new Map<string, DiskFile>();
  #pendingNames: NameChange[] = [];
  #marks: bigint | undefined;
  #partialMark = "";

  constructor(names: Names) {
    this.#names = names;
  }

  apply(operation: Operation): void {
    const { type, file, data, position } = operation;
    this.timeUs = operation.timeUs;
    if (type === "C") this.#create(file, data.toString(), position);
    else if (type === "D") this.#directories.set(file, data.toString());
    else if (file === this.#marks) this.#mark(data.toString());
    else if (type === "W" || type === "T") this.#files.get(file)?.pending.push(operation);
    else if (type === "E") this.#sync(file, operation.offset);
    else if (type !== "S") {
      const [from = "", to = ""] = data.toString().split("\n");
      this.#pendingNames.push({ type, from, to, file: undefined, position });
    }
  }

  /** What a power cut now leaves, by names. */
  cut(random: Random): Map<string, LeftFile> {
    const names = new Map(this.#durableNames);
    const keep = Math.floor(random() * (this.#pendingNames.length + 1));
    for (const change of this.#pendingNames.slice(0, keep)) rename(names, change);
    const survives = SURVIVORS[Math.floor(random() * SURVIVORS.length)]!;
    const left = ({ inode, pending, durable }: DiskFile): LeftFile => ({
      inode,
      content: durable.with(survives(pending, random)),
    });
    return new Map([...names].map(([name, file]) => [name, left(file)]));
  }

  #create(inode: bigint, name: string, position: number): void {
    if (name === MARKS) {
      this.#marks = inode;
      return;
    }
    const file = { inode, durable: new Image(), pending: [] };
    this.#files.set(inode, file);
    this.#pendingNames.push({ type: "C", from: name, to: "", file, position });
  }

  #mark(text: string): void {
    const lines = (this.#partialMark + text).split("\n");
    this.#partialMark = lines.pop()!;
    this.marks.push(...lines.map((line) => ({ text: line, timeUs: this.timeUs })));
  }

  #sync(inode: bigint, begunAt: number): void {
    const file = this.#files.get(inode);
    if (file !== undefined) {
      const isCovered = ({ position }: Change): boolean => position < begunAt;
      for (const change of file.pending.filter(isCovered)) file.durable.apply(change);
      file.pending = file.pending.filter((change) => !isCovered(change));
    }
    const directory = this.#directories.get(inode);
    if (this.#names === "synced" && directory === undefined) return;
    const isDurable = ({ from, to, position }: NameChange): boolean =>
      position < begunAt &&
      (this.#names === "journaled" || directory === folderOf(from) || directory === folderOf(to));
    for (const change of this.#pendingNames.filter(isDurable)) rename(this.#durableNames, change);
    this.#pendingNames = this.#pendingNames.filter((change) => !isDurable(change));
  }
}

function folderOf(name: string): string {
  return dirname(name) === "." ? "" : dirname(name);
}

function rename(names: Map<string, DiskFile>, { type, from, to, file }: NameChange): void {
  const moved = file ?? names.get(from);
  if (type !== "L") names.delete(from);
  if (type !== "U" && moved !== undefined) names.set(type === "C" ? from : to, moved);
}

/** The content of a file. It grows in large steps: a copy for each write took minutes for a file of 16 MB. */
class Image {
  /** Zeros from `#length` on. */
  #bytes: Buffer;
  #length: number;

  constructor(content: Buffer = Buffer.alloc(0)) {
    this.#bytes = content;
    this.#length = content.length;
  }

  apply({ type, offset, data }: Change): void {
    const end = offset + data.length;
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * end);
    if (type === "T") this.#bytes.fill(0, Math.min(end, this.#length), this.#length);
    data.copy(this.#bytes, offset);
    this.#length = type === "T" ? end : Math.max(end, this.#length);
  }

  /** What it would be with these changes. */
  with(changes: readonly Change[]): Buffer {
    const image = new Image(Buffer.from(this.#bytes.subarray(0, this.#length)));
    for (const change of changes) image.apply(change);
    return image.#bytes.subarray(0, image.#length);
  }
}

/** What of the changes that no sync covers survives. */
type Survivors = (pending: readonly Change[], random: Random) => Change[];

const SURVIVORS: readonly Survivors[] = [
  () => [],
  (pending) => [...pending],
  (pending, random) => pending.filter(() => random() < 0.5),
  (pending, random) => pending.flatMap((change) => sectorsOf(change).filter(() => random() < 0.5)),
  (pending, random) => {
    const whole = Math.floor(random() * (pending.length + 1));
    const torn = pending[whole];
    return [...pending.slice(0, whole), ...(torn ? sectorsOf(torn).filter(() => random() < 0.5) : [])];
  },
];

/** A write as the sectors of the disk that it changes. */
function sectorsOf(change: Change): Change[] {
  if (change.type === "T") return [change];
  const parts: Change[] = [];
  for (let from = 0; from < change.data.length; ) {
    const offset = change.offset + from;
    const length = SECTOR_BYTES - (offset % SECTOR_BYTES);
    parts.push({ ...change, offset, data: change.data.subarray(from, from + length) });
    from += length;
  }
  return parts;
}

/**
 * Puts what a cut left where the processes had it. Files keep their inodes, by which a queue and a sink know that a file
 * was not copied; those that are gone wait in a folder beside it. SQLite's -shm does not survive its processes.
 */
export function restore(root: string, files: ReadonlyMap<string, LeftFile>): void {
  const parked = `${root}.parked`;
  mkdirSync(parked, { recursive: true });
  for (const path of filesBelow(root)) renameSync(path, join(parked, String(statSync(path).ino)));
  for (const [name, { inode, content }] of files) {
    if (name.endsWith("-shm")) continue;
    const path = join(root, name);
    const kept = join(parked, String(inode));
    if (existsSync(kept)) renameSync(kept, path);
    const file = openSync(path, existsSync(path) ? "r+" : "wx+", 0o600);
    ftruncateSync(file, 0);
    for (let from = 0; from < content.length; ) from += writeSync(file, content, from);
    closeSync(file);
  }
}

function filesBelow(root: string): string[] {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
