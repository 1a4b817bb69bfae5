import { stdout } from "node:process";

/** How often live lines change on a terminal, and how often they are printed elsewhere, in milliseconds. */
const REDRAW_MS = 100;
const PRINT_MS = 1_000;

const DEFAULT_COLUMNS = 80;

/** Messages above live lines, which are updated on a terminal, and printed each second elsewhere. */
export class Progress implements Disposable {
  readonly #describe: () => string;
  readonly #timer: NodeJS.Timeout;
  /** How many lines will be overwritten. */
  #drawn = 0;
  #isOver = false;

  /**
   * @param describe what is live, as it is now
   * @param describeInLine the same in one line, where that is no terminal; empty: there is nothing to tell
   */
  constructor(describe: () => string, describeInLine: () => string = describe) {
    this.#describe = stdout.isTTY ? describe : describeInLine;
    this.#timer = setInterval(() => this.#draw(), stdout.isTTY ? REDRAW_MS : PRINT_MS);
  }

  /** Prints lines above the live ones. */
  say(text: string): void {
    stdout.write(`${this.#clear()}${text}\n`);
    if (stdout.isTTY) this.#draw();
  }

  /** Ends the live lines. */
  end(): void {
    clearInterval(this.#timer);
    stdout.write(this.#clear());
    this.#isOver = true;
  }

  [Symbol.dispose](): void {
    this.end();
  }

  #draw(): void {
    if (this.#isOver) return;
    const text = this.#describe();
    if (!stdout.isTTY) {
      if (text !== "") stdout.write(`${text}\n`);
      return;
    }
    const columns = (stdout.columns || DEFAULT_COLUMNS) - 1;
    const lines = text.split("\n").map((line) => line.slice(0, columns));
    stdout.write(this.#clear() + lines.join("\n"));
    this.#drawn = lines.length;
  }

  /** The escape codes that remove the live lines. */
  #clear(): string {
    if (this.#drawn === 0) return "";
    const up = this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : "";
    this.#drawn = 0;
    return `\r${up}\x1b[J`;
  }
}
