/** Stdin, stdout and stderr of a command that people and pipes read. */
import { writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { isatty } from "node:tty";
import { styleText } from "node:util";
import { escapeControls } from "../format.ts";
import type { Output, Style } from "./queue/verb.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** How long to wait for the reader of a full pipe before the next try, in milliseconds. */
const PAUSE_MS = 1;

/**
 * The standard streams. A reader that has gone, such as `head`, ends the command with 0. Nothing that is printed, no
 * matter who wrote it, can change the terminal: see {@link escapeControls}.
 */
export function standardOutput(): Output {
  const isColored = usesColors(STDOUT);
  return {
    line: (text, style) => writeLine(STDOUT, text, isColored ? style : undefined),
    note: (text) => writeLine(STDERR, text),
    confirm: (question) => confirm(escapeControls(question)),
    input: () => linesOf(process.stdin),
  };
}

/** Whether to colour what is written to a file: on a terminal, unless `NO_COLOR` is set; always with `FORCE_COLOR`. */
export function usesColors(file: number): boolean {
  const { FORCE_COLOR, NO_COLOR } = process.env;
  if (FORCE_COLOR) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return !NO_COLOR && isatty(file);
}

const LINE_FEED = 0x0a;

/** Lines as bytes. Only `\n` ends a line: other line ends may be a part of an event's text. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  let begun: Buffer[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      yield Buffer.concat([...begun, chunk.subarray(start, end)]);
      begun = [];
      start = end + 1;
    }
    if (start < chunk.length) begun.push(chunk.subarray(start));
  }
  if (begun.length > 0) yield Buffer.concat(begun);
}

/** Prints a text of our own, with its line ends, to stdout. */
export function printLines(text: string): void {
  for (const line of text.split("\n")) writeLine(STDOUT, line);
}

/** Prints a line to stderr. */
export function printError(text: string): void {
  writeLine(STDERR, text);
}

function writeLine(file: number, text: string, style?: Style): void {
  const escaped = escapeControls(text);
  write(file, `${style === undefined ? escaped : styleText(style, escaped, { validateStream: false })}\n`);
}

/** Writes synchronously, so that nothing is lost when the process ends: Node's pipes do not block. */
function write(file: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(file, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE" || code === "ECONNRESET") {
        if (file === STDOUT) process.exit(0); // a pipe, or a socket in its place
        return; // nobody reads the error; the exit code reports it
      }
      if (code !== "EAGAIN") throw error;
      sleepSync(PAUSE_MS);
    }
  }
}

async function confirm(question: string): Promise<boolean | undefined> {
  if (!isatty(STDIN) || !isatty(STDERR)) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

/** Sleeps, and blocks the event loop. */
export function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
