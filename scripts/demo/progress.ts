import { stdout } from "node:process";

/** How often the live line changes on a terminal, and how often it is printed elsewhere, in milliseconds. */
const REDRAW_MS = 100;
const PRINT_MS = 1_000;

const DEFAULT_COLUMNS = 80;
const CLEAR_LINE = "\r\x1b[2K";

/** What the demo tells, above a live line: one that changes on a terminal, else a new one each second. */
export class Progress implements Disposable {
  readonly #describe: () => string;
  readonly #timer: NodeJS.Timeout;

  /** @param describe the live line, as it is now */
  constructor(describe: () => string) {
    this.#describe = describe;
    this.#timer = setInterval(() => this.#draw(), stdout.isTTY ? REDRAW_MS : PRINT_MS);
  }

  /** Prints lines above the live line. */
  say(text: string): void {
    stdout.write(`${stdout.isTTY ? CLEAR_LINE : ""}${text}\n`);
    if (stdout.isTTY) this.#draw();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (stdout.isTTY) stdout.write(CLEAR_LINE);
  }

  #draw(): void {
    const line = this.#describe();
    if (stdout.isTTY) stdout.write(CLEAR_LINE + line.slice(0, (stdout.columns || DEFAULT_COLUMNS) - 1));
    else stdout.write(`${line}\n`);
  }
}
