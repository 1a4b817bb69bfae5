import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type DocBlock, nameOf, readBlocks } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";
import { freePorts } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { Terminal } from "./terminal.ts";

/** The ports of the pages. Each is replaced by a free one. */
const PORTS = ["9900", "9801", "9800", "3000"];
const NAMED_PORT = new RegExp(`(?<=:\\s?)(${PORTS.join("|")})\\b`, "g");

/** The parts of a clone that the commands of a page use. */
const CLONE = ["package.json", "src", "scripts", "node_modules"];

/** The commands of the package, and the program of each. */
const COMMANDS = {
  eventspool: "queue",
  "eventspool-publisher": "publisher",
  "eventspool-collector": "collector",
};

/** A command that runs until it is stopped, in its own terminal. */
const SERVER =
  /^(bun run (publisher|collector)|bunx --bun eventspool[- ](publisher|collector)|bun (examples\/)?service\.ts)(?!.*(&\s*$|--check|--help|--version))/;

/** Succeeds when the log shows that the program serves. */
const IS_SERVING = "grep -qE 'Publishing queue|Collecting at|Serving at'";

/** A directory where a page's commands run unchanged: it looks like a clone, and has a terminal. */
export class Stage implements AsyncDisposable {
  /** The working directory. */
  readonly directory: string;
  /** The directory of queues. */
  readonly queues: string;
  readonly #temporary: { path: string } & Disposable;
  readonly #ports: ReadonlyMap<string, string>;
  readonly #terminal: Terminal;
  #servers = 0;

  private constructor(ports: ReadonlyMap<string, string>) {
    this.#ports = ports;
    this.#temporary = temporaryDirectory();
    this.directory = this.#temporary.path;
    for (const name of CLONE) symlinkSync(join(ROOT, name), join(this.directory, name));
    const home = join(this.directory, "home");
    this.queues = join(home, "eventspool");
    const bin = join(this.directory, "bin");
    for (const path of [this.queues, bin]) mkdirSync(path, { recursive: true, mode: 0o700 });
    for (const name of ["bun", "bunx"]) symlinkSync(process.execPath, join(bin, name));
    for (const [name, program] of Object.entries(COMMANDS)) {
      const script = `#!/bin/sh\nexec bun ${join(ROOT, "src", "commands", `${program}.ts`)} "$@"\n`;
      writeFileSync(join(bin, name), script, { mode: 0o700 });
    }
    const { EVENTSPOOL_DIR: _, STATE_DIRECTORY: __, ...inherited } = process.env;
    const env = { ...inherited, PATH: `${bin}:${inherited.PATH}`, XDG_STATE_HOME: home, NO_COLOR: "1" };
    this.#terminal = new Terminal({ cwd: this.directory, env });
  }

  static async open(): Promise<Stage> {
    const free = await freePorts(PORTS.length);
    return new Stage(new Map(PORTS.map((port, nth) => [port, String(free[nth])])));
  }

  /** Writes the blocks of a page that are files. */
  writeFiles(page: string): void {
    for (const block of readBlocks(page)) {
      const name = nameOf(block);
      if (name !== undefined) this.write(name, block.text);
    }
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), this.withPorts(text), { mode: 0o600 });
  }

  read(name: string): string {
    return readFileSync(join(this.directory, name), "utf8");
  }

  /** A text with free ports instead of those of the pages. */
  withPorts(text: string): string {
    return text.replaceAll(NAMED_PORT, (port) => this.#ports.get(port)!);
  }

  /** Runs a command of the page, and returns its stdout with the ports of the page. */
  async run(command: string): Promise<{ status: number; stdout: string }> {
    if (SERVER.test(command)) return this.#serve(command);
    const { status, stdout } = await this.#terminal.run(this.withPorts(command));
    return { status, stdout: this.#withNamedPorts(stdout) };
  }

  get errors(): string {
    return this.#terminal.errors;
  }

  async #serve(command: string): Promise<{ status: number; stdout: string }> {
    const log = `server-${++this.#servers}.log`;
    await this.#terminal.run(`${this.withPorts(command)} > ${log} 2>&1 &`);
    const wait = `i=0; until ${IS_SERVING} ${log}; do i=$((i+1)); [ $i -lt 3000 ] || break; sleep 0.05; done`;
    await this.#terminal.run(wait);
    const { status } = await this.#terminal.run(`${IS_SERVING} ${log} || { cat ${log} >&2; false; }`);
    return { status, stdout: "" };
  }

  #withNamedPorts(text: string): string {
    return [...this.#ports].reduce((all, [named, port]) => all.replaceAll(`:${port}`, `:${named}`), text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#terminal[Symbol.asyncDispose]();
    this.#temporary[Symbol.dispose]();
  }
}

/** Whether a block has commands and their output. */
export function isTerminal({ language }: DocBlock): boolean {
  return ["", "sh", "console"].includes(language);
}
