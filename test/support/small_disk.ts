import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A disk of its own for a test: `using disk = new SmallDisk(8);`. */
export class SmallDisk implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "eventspool-disk-"));

  /** @param sizeMiB its size */
  constructor(sizeMiB: number) {
    mount(this.path, sizeMiB);
  }

  /** What is left on it, in bytes. */
  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Fills it to the last byte, as another program would. */
  fill(): void {
    const file = openSync(this.#filler, "a");
    try {
      for (;;) writeSync(file, Buffer.alloc(4_096, 1));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Lets nobody write to it. */
  makeReadOnly(): void {
    spawnSync("mount", ["-o", "remount,ro", this.path]);
  }

  /** Takes away what filled it, also while a child that is being forked still has it open. */
  free(): void {
    if (!existsSync(this.#filler)) return;
    truncateSync(this.#filler);
    rmSync(this.#filler);
  }

  [Symbol.dispose](): void {
    spawnSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }

  get #filler(): string {
    return join(this.path, "filler");
  }
}

function mount(path: string, sizeMiB: number): void {
  const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "none", path]);
  if (status !== 0) throw new Error(`mount: ${stderr}`);
}

function canMount(): boolean {
  try {
    using _disk = new SmallDisk(1);
    return true;
  } catch {
    return false;
  }
}

/** Why there are no small disks here; undefined: there are. */
export const noSmallDisks: string | undefined =
  process.platform === "linux" && process.getuid?.() === 0 && canMount()
    ? undefined
    : "a small disk is a tmpfs, and only root may mount one";
