/** The size and the programs of the measurements. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Options of every part. */
export interface Settings {
  /** 1, or less to be quicker. */
  readonly scale: number;
  /** How often each contestant runs. */
  readonly repeats: number;
  /** Where files may be made: on the disk that is to be measured. */
  readonly directory: string;
}

/** The command of a program of `programs/` under the current runtime. */
export function program(file: string, ...args: readonly string[]): string[] {
  return [process.execPath, pathOf(`programs/${file}`), ...args];
}

/** An absolute path of a file beside this one. */
export function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

/** Whether a program is installed. */
export function has(name: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
}

/** A python3 that can import these modules, or undefined. */
export function pythonWith(modules: string): string | undefined {
  const pythons = ["python3", "/usr/bin/python3"];
  return pythons.find((python) => spawnSync(python, ["-c", `import ${modules}`]).status === 0);
}
