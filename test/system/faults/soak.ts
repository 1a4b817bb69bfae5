/**
 * A soak: services, publishers and collectors under Bun, Deno and Node use one queue for an hour, while spare ones are
 * killed and connections are cut or stall. Every event must be at every collector once, and no process may grow.
 * `bun run faults soak [--minutes N] [--to DIRECTORY]`; nothing of it is in the tests.
 */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DENO, NODE } from "../../../scripts/runtimes.ts";
import { formatTable } from "../../../src/format.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { type FoundRuntime, findBun, getRuntime } from "../../support/runtimes.ts";
import { freePorts } from "../../support/servers.ts";
import { Spool, stop } from "../../support/spool.ts";
import { random } from "./fault.ts";

const PUTS_PER_SECOND = 2;

/** The numbers that one life of a producer may use. */
const NUMBERS = 1_000_000;

const MINUTE_MS = 60_000;

/** Breaks between two kills or cuts, in milliseconds. */
const MIN_BREAK_MS = 10_000;
const MAX_BREAK_MS = 30_000;

/** How long a connection is cut or stalls at most: some requests take longer than `collector.timeout`. */
const MAX_CUT_MS = 8_000;

/** How long what waits at the end may take. */
const DRAIN_MS = 5 * MINUTE_MS;

/** A process may be so much larger at the end than after the first quarter of the time. */
const GROWTH_LIMIT = 1.2;
const DESCRIPTORS_LIMIT = 4;

/** How many figures, one a minute, are taken together: garbage collectors run now and then. */
const WINDOW = 5;

const RUNTIMES: ReadonlyArray<{
  readonly name: string;
  readonly found: FoundRuntime;
  readonly run: readonly string[];
}> = [
  { name: "Bun", found: findBun(), run: [] },
  { name: "Deno", found: getRuntime(DENO), run: ["run", "-A", "--no-check"] },
  { name: "Node", found: getRuntime(NODE), run: [] },
];

/** A subscription with its collector, each under one of the runtimes; those of `spare` are killed. */
const SUBSCRIPTIONS = ["default", "second", "third", "spare"] as const;
const SPARE = 3;

/** Forwards connections to a collector, until it cuts them. */
class Wire {
  readonly server: Server = createServer((from) => this.#forward(from));
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  #isCut = false;

  constructor(port: number, target: number) {
    this.#target = target;
    this.server.listen(port, "127.0.0.1");
  }

  /** Closes all connections, and new ones for a while. */
  async cut(durationMs: number): Promise<void> {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
    await sleep(durationMs);
    this.#isCut = false;
  }

  /** Forwards nothing for a while. */
  async stall(durationMs: number): Promise<void> {
    const stalled = [...this.#sockets];
    for (const socket of stalled) socket.pause();
    await sleep(durationMs);
    for (const socket of stalled) socket.resume();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }

  #forward(from: Socket): void {
    if (this.#isCut) return void from.destroy();
    const to = connect(this.#target, "127.0.0.1");
    for (const [socket, other] of [
      [from, to],
      [to, from],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // "close" follows
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}

/** All that runs. */
class Soak implements AsyncDisposable {
  readonly spool: Spool = new Spool();
  readonly wires: Wire[] = [];
  /** Those that are never killed, by what they are. */
  readonly lasting = new Map<string, Program>();
  kills = 0;
  cuts = 0;
  readonly #programs: Program[] = [];
  readonly #producers: Program[] = [];
  readonly #collectorPorts: readonly number[];
  readonly #wirePorts: readonly number[];
  #starts = 0;
  #lives = 0;
  #spares: { producer: Program; publisher: Program; collector: Program } | undefined;

  constructor(ports: readonly number[]) {
    this.#collectorPorts = ports.slice(0, SUBSCRIPTIONS.length);
    this.#wirePorts = ports.slice(SUBSCRIPTIONS.length);
  }

  async begin(): Promise<void> {
    for (const subscription of SUBSCRIPTIONS.keys())
      this.wires.push(new Wire(this.#wirePorts[subscription]!, this.#collectorPorts[subscription]!));
    for (const [nth, { name }] of RUNTIMES.entries()) {
      this.lasting.set(`collector, ${name}`, this.#collector(nth, nth));
      this.lasting.set(`publisher, ${name}`, this.#publisher(nth, nth));
    }
    const spares = { collector: this.#collector(SPARE), publisher: this.#publisher(SPARE) };
    // Before the first event: a publisher adds its subscription.
    await Promise.all(this.#programs.map((program) => program.line(/"(Publishing queue|Collecting at) /)));
    for (const [nth, { name }] of RUNTIMES.entries())
      this.lasting.set(`producer, ${name}`, this.#producer(nth));
    this.#spares = { ...spares, producer: this.#producer() };
  }

  /** Kills a spare program, and starts another like it under the next runtime. */
  async kill(
    role: "producer" | "publisher" | "collector",
    subscription: number = random(SUBSCRIPTIONS.length),
  ): Promise<void> {
    this.kills++;
    await stop(this.#spares![role], "SIGKILL");
    if (role === "producer") this.#spares!.producer = this.#producer();
    else if (role === "publisher") this.#spares!.publisher = this.#publisher(subscription);
    else this.#spares!.collector = this.#collector(SPARE);
  }

  /** What was put, as the producers told. */
  get put(): number[] {
    return this.#producers.flatMap(({ stdout }) => stdout.map(Number));
  }

  /** The numbers of the events that a subscription's collector has stored. */
  stored(subscription: number): number[] {
    const lines = readFileSync(this.#output(subscription), "utf8").split("\n").slice(0, -1);
    return lines.map((line) => (JSON.parse(line) as { n: number }).n);
  }

  async endProducers(): Promise<void> {
    for (const producer of this.#producers) if (isRunning(producer)) await stop(producer, "SIGKILL");
  }

  /** Ends what still runs as an operator does. Returns the exit codes. */
  async end(): Promise<Array<number | string>> {
    const running = this.#programs.filter(isRunning);
    return await Promise.all(running.map((program) => stop(program)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    for (const wire of this.wires) wire.close();
    this.spool[Symbol.dispose]();
  }

  #output(subscription: number): string {
    return join(this.spool.directory, `${SUBSCRIPTIONS[subscription]}.jsonl`);
  }

  #collector(subscription: number, runtime?: number): Program {
    const config = this.spool.write("collector.ini", "event-collector", {
      listen: `127.0.0.1:${this.#collectorPorts[subscription]}`,
      output: this.#output(subscription),
      [`key.${KEY.name}`]: KEY_BASE64,
    });
    return this.#start("src/commands/collector.ts", [config], runtime);
  }

  #publisher(subscription: number, runtime?: number): Program {
    const args = this.spool.publisherArgs({
      "collector.hostname": `127.0.0.1:${this.#wirePorts[subscription]}`,
      "collector.timeout": "5s",
      "batch.max_age": "3s",
      "publisher.subscription": SUBSCRIPTIONS[subscription]!,
      "subscription.start": "oldest",
    });
    return this.#start("src/commands/publisher.ts", args, runtime);
  }

  #producer(runtime?: number): Program {
    const args = [this.spool.directory, String(++this.#lives * NUMBERS), String(PUTS_PER_SECOND)];
    const producer = this.#start("test/support/programs/reporting_producer.ts", args, runtime);
    this.#producers.push(producer);
    return producer;
  }

  /** By default under the next runtime. */
  #start(file: string, args: readonly string[], runtime = this.#starts++ % RUNTIMES.length): Program {
    const { found, run } = RUNTIMES[runtime]!;
    if ("missing" in found) throw new Error(found.missing);
    const path = fileURLToPath(new URL(`../../../${file}`, import.meta.url));
    const program = startCommand([found.path, [...run, path, ...args]]);
    this.#programs.push(program);
    return program;
  }
}

function isRunning({ child }: Program): boolean {
  return child.exitCode === null && child.signalCode === null;
}

type Mischief = (soak: Soak) => Promise<void>;

const MISCHIEF: readonly Mischief[] = [
  (soak) => soak.kill("producer"),
  (soak) => soak.kill("publisher"),
  (soak) => soak.kill("collector"),
  (soak) => cutSomeWire(soak, "cut"),
  (soak) => cutSomeWire(soak, "stall"),
];

async function cutSomeWire(soak: Soak, how: "cut" | "stall"): Promise<void> {
  soak.cuts++;
  await soak.wires[random(SUBSCRIPTIONS.length)]![how](random(MAX_CUT_MS));
}

/** What a process uses. */
interface Figures {
  readonly rssMb: number;
  readonly descriptors: number;
  readonly cpuSeconds: number;
}

const CLOCK_TICKS_PER_SECOND = 100;

/** Reads them from Linux. */
function figuresOf(pid: number): Figures {
  const rssKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return {
    rssMb: rssKb / 1_024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    cpuSeconds: (Number(afterName[11]) + Number(afterName[12])) / CLOCK_TICKS_PER_SECOND,
  };
}

/** The figures of each lasting process, one a minute. */
type Series = Map<string, Figures[]>;

function sample({ lasting, spool, kills, cuts }: Soak, series: Series, log: string): void {
  const columns = [`${new Date().toISOString()} depth ${spool.queue.depth()} kills ${kills} cuts ${cuts}`];
  for (const [name, { child }] of lasting) {
    const figures = figuresOf(child.pid!);
    series.set(name, [...(series.get(name) ?? []), figures]);
    const { rssMb, descriptors, cpuSeconds } = figures;
    columns.push(`${name}: ${rssMb.toFixed(0)} MB ${descriptors} fds ${cpuSeconds.toFixed(1)} s`);
  }
  appendFileSync(log, `${columns.join("; ")}\n`);
}

/** Rows of a table, and what has grown. */
function compare(series: Series): { rows: string[][]; problems: string[] } {
  const rows: string[][] = [];
  const problems: string[] = [];
  for (const [name, figures] of series) {
    const warm = Math.floor(figures.length / 4);
    const [first, last] = [figures.slice(warm, warm + WINDOW), figures.slice(-WINDOW)].map((some) => ({
      rssMb: some.reduce((sum, { rssMb }) => sum + rssMb, 0) / some.length,
      descriptors: Math.max(...some.map(({ descriptors }) => descriptors)),
    })) as [Pick<Figures, "rssMb" | "descriptors">, Pick<Figures, "rssMb" | "descriptors">];
    if (last.rssMb > first.rssMb * GROWTH_LIMIT) problems.push(`${name}: its memory has grown`);
    if (last.descriptors > first.descriptors + DESCRIPTORS_LIMIT) problems.push(`${name}: more descriptors`);
    rows.push([
      name,
      ...[first.rssMb, last.rssMb].map((mb) => mb.toFixed(0)),
      ...[first.descriptors, last.descriptors, figures.at(-1)!.cpuSeconds.toFixed(1)].map(String),
    ]);
  }
  return { rows, problems };
}

/** What a subscription's collector lacks, or has twice. */
function problemsOf(stored: readonly number[], put: readonly number[], subscription: string): string[] {
  const numbers = new Set(stored);
  const lost = put.filter((n) => !numbers.has(n));
  const problems =
    lost.length > 0 ? [`${subscription}: ${lost.length} events are lost, such as ${lost[0]}`] : [];
  const repeats = stored.length - numbers.size;
  return repeats > 0 ? [...problems, `${subscription}: ${repeats} events came twice`] : problems;
}

/** Kills, cuts and takes figures, until the time is over or a signal comes. */
async function makeMischief(soak: Soak, { minutes, log }: { minutes: number; log: string }): Promise<Series> {
  const series: Series = new Map();
  const over = AbortSignal.any([AbortSignal.timeout(minutes * MINUTE_MS), stopped()]);
  const sampling = setInterval(() => sample(soak, series, log), MINUTE_MS);
  for (let round = 0; !over.aborted; round++) {
    await MISCHIEF[round % MISCHIEF.length]!(soak);
    const breakMs = MIN_BREAK_MS + random(MAX_BREAK_MS - MIN_BREAK_MS);
    await sleep(breakMs, undefined, { signal: over }).catch(() => {});
  }
  clearInterval(sampling);
  sample(soak, series, log);
  return series;
}

function stopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** Runs a soak, and prints what came of it. Returns how many problems there were. */
export async function soakAll(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { minutes: { type: "string" }, to: { type: "string" } } });
  const directory = values.to ?? "soak";
  mkdirSync(directory, { recursive: true });
  const log = join(directory, "figures.txt");
  writeFileSync(log, "");
  await using soak = new Soak(await freePorts(2 * SUBSCRIPTIONS.length));
  await soak.begin();
  const startedAtMs = Date.now();
  const series = await makeMischief(soak, { minutes: Number(values.minutes ?? 60), log });
  const minutes = (Date.now() - startedAtMs) / MINUTE_MS;
  const { rows, problems } = compare(series);
  await soak.kill("publisher", SPARE);
  await soak.endProducers();
  const drained = await eventually("an empty queue", () => soak.spool.queue.depth() === 0, DRAIN_MS).catch(
    String,
  );
  if (drained !== true) problems.push(`${drained}: ${soak.spool.queue.depth()} events are left`);
  const codes = await soak.end();
  if (codes.some((code) => code !== 0)) problems.push(`exit codes ${codes.join(", ")}`);
  if (soak.spool.integrity() !== "ok") problems.push("the queue's file is broken");
  const { put, kills, cuts } = soak;
  for (const [subscription, name] of SUBSCRIPTIONS.entries())
    problems.push(...problemsOf(soak.stored(subscription), put, name));
  const stored = SUBSCRIPTIONS.map((_, subscription) => soak.stored(subscription).length);
  const summary = `${minutes.toFixed(0)} minutes, ${put.length} events put, stored by each collector: ${stored.join(", ")}; ${kills} kills, ${cuts} cuts of connections`;
  const header = ["process", "MB, warm", "MB, end", "fds, warm", "fds, end", "CPU seconds"];
  const result = [summary, ...formatTable(header, rows), ...problems, `${problems.length} problems`].join(
    "\n",
  );
  writeFileSync(join(directory, "result.txt"), `${result}\n`);
  console.log(result);
  return problems.length;
}
