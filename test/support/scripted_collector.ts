import { type CollectedRequest, FakeCollector, type FakeResponse, responses } from "../../src/testing/mod.ts";
import { eachId, parseEventIds } from "../../src/wire/event_ids.ts";
import { KEY } from "./keys.ts";

/** An event of the tests of processes: a number, which is its row's id too, and whatever a test adds. */
export interface NumberedEvent {
  readonly n: number;
  readonly [field: string]: unknown;
}

/** A v2j batch that came with a good signature. */
export interface ReceivedBatch extends CollectedRequest {
  readonly events: readonly NumberedEvent[];
  /** The numbers of the events. */
  readonly numbers: readonly number[];
}

/** Decides on a batch; `nth` counts requests from 0. */
export type Script = (batch: ReceivedBatch, nth: number) => FakeResponse | Promise<FakeResponse>;

/** Takes everything. */
export const ACCEPT: Script = responses.accept();

/** Answers nothing, ever. */
export const HANG: Script = responses.hang();

/** Takes everything, but not before it is released. */
export function heldBack(): { readonly script: Script; release(): void } {
  const { promise: released, resolve } = Promise.withResolvers<void>();
  const script: Script = async (batch, nth) => {
    await released;
    return ACCEPT(batch, nth);
  };
  return { script, release: resolve };
}

/** The fake collector, of numbered events: `await using collector = await ScriptedCollector.open();`. */
export class ScriptedCollector implements AsyncDisposable {
  /** How the next requests are answered. */
  script: Script = ACCEPT;
  readonly port: number;
  readonly #fake: FakeCollector;

  private constructor(fake: FakeCollector) {
    this.#fake = fake;
    this.port = fake.port;
    fake.respond = (request, nth) => {
      const numbers = (request as ReceivedBatch).events.map(({ n }) => n);
      return this.script(Object.assign(request as ReceivedBatch, { numbers }), nth);
    };
  }

  /** Listens on a free port, or on `port`. */
  static async open({ port = 0 }: { port?: number } = {}): Promise<ScriptedCollector> {
    return new ScriptedCollector(await FakeCollector.open({ port, key: KEY }));
  }

  /** Every request that was signed, in order of arrival, whatever the answer. */
  get batches(): ReceivedBatch[] {
    return this.#fake.requests as ReceivedBatch[];
  }

  /** What was not a signed batch: none, unless something is wrong. */
  get problems(): string[] {
    return this.#fake.problems;
  }

  /** The batches it answered with a 2xx. */
  get accepted(): ReceivedBatch[] {
    return this.batches.filter(({ status = 0 }) => status >= 200 && status < 300);
  }

  /** The numbers of the events it answered with a 2xx, in order, duplicates and all. */
  get acceptedNumbers(): number[] {
    return this.accepted.flatMap(({ numbers }) => numbers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#fake[Symbol.asyncDispose]();
  }
}

/** The row ids that an `Event-Ids` header names, in order. */
export function namedIds(eventIds: string): number[] {
  return [...eachId(parseEventIds(eventIds)?.ranges ?? [])];
}

/** `first` to `last`, both included. */
export function numbersFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
