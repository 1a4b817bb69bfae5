import { isUtf8 } from "node:buffer";
import { bytesIn } from "../../config/parsers.ts";
import { EventError } from "../../errors.ts";
import { countOf, jsonText } from "../../format.ts";
import { EventQueue } from "../../queue/event_queue.ts";
import { MAX_EVENT_DEPTH } from "../../serializers/problems.ts";
import { MAX_EVENT_BYTES } from "../../wire/batch_format.ts";
import { type Call, existingFile, JSON_OUTPUT, QUEUE, readOption, type Verb } from "./verb.ts";

/** How many lines are put in one transaction. */
const CHUNK_LINES = 100;

const parseSize = bytesIn({ min: 1, max: 1_073_741_824 });

/** `eventspool put` */
export const put: Verb = {
  summary: "put events from stdin, one JSON text per line",
  options: {
    "max-event-bytes": {
      type: "string",
      value: "SIZE",
      default: String(MAX_EVENT_BYTES),
      help: `reject larger events (default: ${MAX_EVENT_BYTES})`,
    },
    ...QUEUE,
    ...JSON_OUTPUT,
  },
  details: `It stops at the first line that cannot be put and says which; the lines before it are in the queue. Empty lines are skipped. An event is stored byte for byte as its line; only \\n ends a line.
An outbox takes events from its service only, in the service's transactions.`,
  json: "one document: put, and line and error where it stopped.",
  fails: "a line cannot be put",
  examples: ["< events.jsonl", "--queue-name audit < events.jsonl"],
  async run(call: Call): Promise<number> {
    existingFile(call);
    const maxEventBytes = readOption(call, "max-event-bytes", parseSize)!;
    const { queue, directory } = call;
    using events = new EventQueue(queue, unchanged, { maxEventBytes, ...(directory && { directory }) });
    const putter = new LinePutter(events);
    for await (const line of call.output.input()) if (!putter.take(line)) break;
    putter.flush();
    const { count, problem } = putter;
    call.output.line(
      call.values.json ? JSON.stringify({ put: count, ...problem }) : `${countOf(count, "event")} put.`,
    );
    if (problem === undefined) return 0;
    call.output.note(`Line ${problem.line}: ${problem.error} Continue from this line.`);
    return 1;
  },
};

/** A line with an event. */
interface Line {
  readonly body: Uint8Array;
  readonly line: number;
}

interface Problem {
  readonly line: number;
  readonly error: string;
}

/** Puts lines in chunks, and finds the one that cannot be put. */
class LinePutter {
  /** How many events were put. */
  count = 0;
  /** Why it stopped, and at which line. */
  problem: Problem | undefined;
  readonly #queue: EventQueue<Uint8Array>;
  #lines: Line[] = [];
  #line = 0;

  constructor(queue: EventQueue<Uint8Array>) {
    this.#queue = queue;
  }

  /** False: it has stopped. */
  take(body: Uint8Array): boolean {
    this.#line++;
    if (body.every(isSpace)) return true;
    const error = problemOf(body);
    if (error !== undefined) {
      this.flush();
      this.problem ??= { line: this.#line, error };
      return false;
    }
    this.#lines.push({ body, line: this.#line });
    if (this.#lines.length >= CHUNK_LINES) this.flush();
    return this.problem === undefined;
  }

  flush(): void {
    const lines = this.#lines;
    this.#lines = [];
    try {
      this.#queue.putMany(lines.map(({ body }) => body));
      this.count += lines.length;
    } catch {
      this.#putEach(lines); // all or none: which one is it?
    }
  }

  #putEach(lines: readonly Line[]): void {
    for (const { body, line } of lines) {
      try {
        this.#queue.put(body);
        this.count++;
      } catch (error) {
        if (!(error instanceof EventError)) throw error;
        this.problem = { line, error: error.message };
        return;
      }
    }
  }
}

function unchanged(body: Uint8Array): Uint8Array {
  return body;
}

/** White space of JSON. */
function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

/** What a collector would reject the line for. */
function problemOf(body: Uint8Array): string | undefined {
  if (!isUtf8(body)) return "It is not UTF-8.";
  const json = jsonText(body);
  if (json !== undefined) return depthOf(json) > MAX_EVENT_DEPTH ? TOO_DEEP : undefined;
  const hasMark = BYTE_ORDER_MARK.every((byte, index) => body[index] === byte);
  return hasMark ? "It begins with a byte order mark, which is not JSON: remove it." : "It is not JSON.";
}

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

const TOO_DEEP = `It nests deeper than ${MAX_EVENT_DEPTH} objects and arrays.`;

/** How deep objects and arrays nest in a JSON text. */
function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[{}\]]/g)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth--;
    if (depth > deepest) deepest = depth;
  }
  return deepest;
}
