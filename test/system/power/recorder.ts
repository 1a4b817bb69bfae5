import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { NODE } from "../../../scripts/runtimes.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { getRuntime } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Syncs are quick in memory, and what is synced is decided by the record. */
const FASTEST = "/dev/shm";

let compiled: Buffer | undefined;

/** The recording library, compiled once in a process. */
function compile(): Buffer {
  if (compiled !== undefined) return compiled;
  using directory = temporaryDirectory();
  const library = join(directory.path, "disk_recorder.so");
  const source = fileURLToPath(new URL("disk_recorder.c", import.meta.url));
  execFileSync("cc", ["-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"]);
  compiled = readFileSync(library);
  return compiled;
}

/** A directory whose files' writes and syncs are recorded, by any process: `using recorder = new Recorder();`. */
export class Recorder implements Disposable {
  /** The directory. */
  readonly root: string;
  /** Where programs say what they have done: no power cut takes it. */
  readonly marks: string;
  /** The record. */
  readonly record: string;
  /** Where all of it is. */
  readonly home: string;

  #isKept = false;

  /** @param kept the directory of an earlier recorder that was kept */
  constructor(kept?: string) {
    const place = existsSync(FASTEST) ? FASTEST : tmpdir();
    this.home = kept ?? mkdtempSync(join(place, "eventspool-power-"));
    this.root = join(this.home, "disk");
    this.marks = join(this.root, "marks");
    this.record = `${this.root}.record`;
    if (kept !== undefined) return;
    mkdirSync(this.root);
    writeFileSync(this.#library, compile());
  }

  get #library(): string {
    return join(this.home, "disk_recorder.so");
  }

  /** Leaves all where it is: the record, and the files by whose inodes queues and sinks know them. */
  keep(): void {
    this.#isKept = true;
  }

  /** Why nothing can be recorded here, for `skip`; undefined: it can. */
  static get missing(): string | undefined {
    if (process.platform !== "linux") return "only Linux has LD_PRELOAD";
    try {
      execFileSync("cc", ["--version"], { stdio: "ignore" });
    } catch {
      return "no C compiler: apt-get install gcc libc6-dev";
    }
    const node = getRuntime(NODE);
    return "missing" in node ? node.missing : undefined;
  }

  /** Starts a program of this repository. Under Node: Bun calls the kernel itself, past the C library. */
  start(file: string, args: readonly string[]): Program {
    const node = getRuntime(NODE);
    if ("missing" in node) throw new Error(node.missing);
    const path = fileURLToPath(new URL(`../../../${file}`, import.meta.url));
    const env = { DISK_ROOT: this.root, LD_PRELOAD: this.#library };
    return startCommand([node.path, [path, ...args]], { env });
  }

  /** Runs one to its end. */
  async run(file: string, args: readonly string[]): Promise<void> {
    await using program = this.start(file, args);
    const code = await program.ended;
    if (code !== 0) throw new Error(`${file} ended with ${code}:\n${program.stderr.join("\n")}`);
  }

  [Symbol.dispose](): void {
    if (!this.#isKept) rmSync(this.home, { recursive: true, force: true });
  }
}
