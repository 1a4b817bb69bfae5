import { bytesIn } from "../../config/parsers.ts";
import { EventError } from "../../errors.ts";
import { countOf, decodeBody } from "../../format.ts";
import { MAX_EVENT_BYTES } from "../../limits.ts";
import { EventQueue } from "../../queue/event_queue.ts";
import { type Call, existingFile, rejectOutbox, type Verb } from "./verb.ts";

/** How many lines are put in one transaction. */
const CHUNK_LINES = 100;

const parseSize = bytesIn({ min: 1, max: 1_073_741_824 });

/** `queue put` */
export const put: Verb = {
  summary: "put events from stdin, one JSON text a line",
  usage: "[--max-event-bytes 102400] < FILE",
  help: `  --max-event-bytes SIZE   reject larger ones (default: 102400)

It stops at the first line that cannot be put and says where to go on; the lines
before it are in the queue. Empty lines are passed over.
`,
  options: { "max-event-bytes": { type: "string", default: String(MAX_EVENT_BYTES) } },
  async run(call: Call): Promise<number> {
    rejectOutbox(call, "events get into an outbox in the transactions of its service.");
    existingFile(call);
    const maxEventBytes = parseSize(String(call.values["max-event-bytes"]));
    const { queue, directory } = call;
    using events = new EventQueue(queue, toBytes, { maxEventBytes, ...(directory && { directory }) });
    const putter = new LinePutter(events);
    for await (const line of call.output.input()) if (!putter.take(line)) break;
    putter.flush();
    const { count, problem } = putter;
    call.output.line(
      call.values.json ? JSON.stringify({ put: count, ...problem }) : `${countOf(count, "event")} put.`,
    );
    if (problem === undefined) return 0;
    call.output.note(`Line ${problem.line}: ${problem.error} Go on from this line.`);
    return 1;
  },
};

interface Problem {
  readonly line: number;
  readonly error: string;
}

/** Puts lines in chunks, and finds the one that cannot be put. */
class LinePutter {
  /** How many events were put. */
  count = 0;
  /** What ended it, and at which line. */
  problem: Problem | undefined;
  readonly #queue: EventQueue<string>;
  #lines: { text: string; line: number }[] = [];
  #line = 0;

  constructor(queue: EventQueue<string>) {
    this.#queue = queue;
  }

  /** False: it is over. */
  take(text: string): boolean {
    this.#line++;
    if (text.trim() === "") return true;
    if (decodeBody(toBytes(text)).json === undefined) {
      this.flush();
      this.problem ??= { line: this.#line, error: "It is not JSON." };
      return false;
    }
    this.#lines.push({ text, line: this.#line });
    if (this.#lines.length >= CHUNK_LINES) this.flush();
    return this.problem === undefined;
  }

  flush(): void {
    const lines = this.#lines;
    this.#lines = [];
    try {
      this.#queue.putMany(lines.map(({ text }) => text));
      this.count += lines.length;
    } catch {
      this.#putEach(lines); // all or none: which one is it?
    }
  }

  #putEach(lines: readonly { text: string; line: number }[]): void {
    for (const { text, line } of lines) {
      try {
        this.#queue.put(text);
        this.count++;
      } catch (error) {
        if (!(error instanceof EventError)) throw error;
        this.problem = { line, error: error.message };
        return;
      }
    }
  }
}

function toBytes(text: string): Uint8Array {
  return Buffer.from(text);
}
