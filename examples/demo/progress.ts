import { stdout } from "node:process";

/** How often what is live changes on a terminal, and how often it is printed elsewhere, in milliseconds. */
const REDRAW_MS = 100;
const PRINT_MS = 1_000;

const DEFAULT_COLUMNS = 80;

/** What the demo tells, above what is live: lines that change on a terminal, else one new line each second. */
export class Progress implements Disposable {
  readonly #describe: () => string;
  readonly #timer: NodeJS.Timeout;
  /** How many lines are to be overwritten. */
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

  /** Prints lines above what is live. */
  say(text: string): void {
    stdout.write(`${this.#clear()}${text}\n`);
    if (stdout.isTTY) this.#draw();
  }

  /** From now on nothing is live; what is said is printed. */
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

  /** What takes the cursor to where the live lines begin, and removes them. */
  #clear(): string {
    if (this.#drawn === 0) return "";
    const up = this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : "";
    this.#drawn = 0;
    return `\r${up}\x1b[J`;
  }
}
