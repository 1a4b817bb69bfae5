import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import type { FakeResponse } from "../../../src/testing/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, type Settings, Spool, stop } from "../../support/spool.ts";
import { type Counts, countUp, type Fault, sumOf } from "./fault.ts";
import { passOn, Spoiler } from "./spoiler.ts";

/** How the publisher should take it: as an outage, or as an error of the configuration. */
type Kind = "unavailable" | "misconfigured";

/** A collector that does something wrong until it is mended. */
interface Trouble {
  readonly name: string;
  readonly kind: Kind;
  /** How it answers a request it has read. */
  readonly answer?: FakeResponse;
  /** What it does with a connection, instead. */
  readonly connection?: (socket: Socket) => void;
  /** Settings that are wrong, and mended by a restart. */
  readonly settings?: Settings;
}

const EVENTS = 5;

/** How many troubles are had at once: each has processes of its own. */
const AT_ONCE = 4;

/** A busy machine has many failures before the trouble is over, and would then wait for up to a minute. */
const QUICK = { backoffMaxMs: 1_000 };

/** Answers with raw text once something of the request has come, and then does `after`. */
function says(text: string, after: (socket: Socket) => void = (socket) => socket.end()) {
  return (socket: Socket): void => {
    socket.once("data", () => socket.write(text, () => after(socket)));
  };
}

function drip(socket: Socket): void {
  const timer = setInterval(() => socket.write("X-Slow: 1\r\n"), 50);
  socket.on("close", () => clearInterval(timer));
}

function gush(socket: Socket): void {
  const chunk = "x".repeat(65_536);
  const more = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on("drain", more);
  more();
}

const SILENT: Trouble[] = [
  { name: "nobody listens", kind: "unavailable", settings: { "collector.hostname": "127.0.0.1:9" } },
  { name: "no such host", kind: "unavailable", settings: { "collector.hostname": "nowhere.invalid" } },
  {
    name: "TLS is expected, and not spoken",
    kind: "misconfigured",
    settings: { "collector.scheme": "https" },
  },
  {
    name: "TLS handshake that hangs",
    kind: "unavailable",
    settings: { "collector.scheme": "https" },
    connection: () => {},
  },
  { name: "reset at once", kind: "unavailable", connection: (socket) => socket.resetAndDestroy() },
  { name: "closed at once", kind: "unavailable", connection: (socket) => socket.end() },
  {
    name: "reset in the middle of the request",
    kind: "unavailable",
    connection: (socket) => socket.once("data", () => socket.resetAndDestroy()),
  },
  {
    name: "reset after the request",
    kind: "unavailable",
    connection: (socket) => socket.on("data", () => setTimeout(() => socket.resetAndDestroy(), 50)),
  },
  { name: "closed in the status line", kind: "unavailable", connection: says("HTTP/1.1 20") },
  { name: "closed in the headers", kind: "unavailable", connection: says("HTTP/1.1 200 OK\r\nX-A: ") },
  { name: "no answer", kind: "unavailable", connection: (socket) => socket.resume() },
  {
    name: "an answer of a header now and then",
    kind: "unavailable",
    connection: says("HTTP/1.1 200 OK\r\n", drip),
  },
  { name: "not HTTP", kind: "unavailable", connection: says("SSH-2.0-OpenSSH_9.7\r\n") },
  { name: "HTTP/1.0", kind: "unavailable", connection: says("HTTP/1.0 503 No\r\n\r\nno") },
  {
    name: "an answer that is cut",
    kind: "unavailable",
    connection: says("HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nno"),
  },
  {
    name: "an answer without end",
    kind: "unavailable",
    connection: says("HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\n", gush),
  },
  {
    name: "early hints before the answer",
    kind: "unavailable",
    connection: says(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    ),
  },
  {
    name: "huge headers",
    kind: "unavailable",
    connection: says(`HTTP/1.1 503 No\r\nX-Big: ${"x".repeat(2_000_000)}\r\nContent-Length: 0\r\n\r\n`),
  },
];

const BUSY: Trouble[] = [
  ...[408, 425, 429, 500, 501, 502, 503, 504, 505, 507, 511, 599].map(
    (status): Trouble => ({ name: String(status), kind: "unavailable", answer: { status } }),
  ),
  ...["0", "1", "-1", "5.5", "soon", "", "1e400", "Fri, 01 Jan 1999 00:00:00 GMT", "0x10"].map(
    (after): Trouble => ({
      name: `503 with Retry-After: ${after}`,
      kind: "unavailable",
      answer: { status: 503, headers: { "Retry-After": after } },
    }),
  ),
];

const WRONG: Trouble[] = [
  300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 406, 409, 410, 411, 415, 417, 418, 426, 428,
  431, 451, 499,
].map((status) => ({
  name: String(status),
  kind: "misconfigured",
  answer: { status, headers: { Location: "/elsewhere" } },
}));

/** A collector with an untrusted certificate; undefined without openssl, which makes it. */
function selfSigned(): { key: string; cert: string } | undefined {
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 -days 2";
  const { status, stdout } = spawnSync("openssl", [...request.split(" "), "-keyout", "-"], {
    encoding: "utf8",
  });
  const [key = "", cert = ""] = stdout?.match(/-----BEGIN (\w+ )*\w+-----[^-]*-----END [^-]*-----/g) ?? [];
  return status === 0 ? { key, cert } : undefined;
}

/** A certificate that is not to be trusted is no answer: nothing is sent, and the events stay. */
const BAD_CERTIFICATE: Fault = {
  name: "the collector: an untrusted certificate",
  rounds: 1,
  quickRounds: 1,
  skip: selfSigned() === undefined ? "there is no openssl to make one" : undefined,
  async run() {
    const seen: string[] = [];
    const server = createTlsServer({ ...selfSigned()! }, (socket) => {
      socket.on("data", (data) => seen.push(String(data))).on("error", () => {});
    });
    server.on("tlsClientError", () => {}); // it is meant to break
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const trouble = { "collector.hostname": `127.0.0.1:${port}`, "collector.scheme": "https" };
    const counts = await suffer({ name: "bad certificate", kind: "misconfigured", settings: trouble });
    server.close();
    assert.deepEqual(seen, [], "nothing was sent to it");
    return counts;
  },
};

/** Puts events, sees how the trouble is taken, mends it, and sees them arrive. */
async function suffer({ name, kind, answer, connection, settings }: Trouble): Promise<Counts> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using spoiler = new Spoiler(collector.port);
  const healthy = {
    "collector.hostname": `127.0.0.1:${await spoiler.listen()}`,
    "collector.timeout": "1500ms",
  };
  spoiler.spoil = connection;
  if (answer !== undefined) collector.script = () => answer;
  spool.put(EVENTS);

  const admin = { "admin.listen": "127.0.0.1:0" };
  await using publisher = spool.quickPublisher(QUICK, { ...healthy, ...admin, ...settings });
  const health = new URL("/health", await addressOf(publisher));
  const read = async () =>
    (await (await fetch(health)).json()) as { status: string; last_error: { kind: Kind } | null };
  const wanted = kind === "misconfigured" ? "failing" : "degraded";
  // On a busy machine a request may time out before the answer is there: an outage, at first.
  await eventually(`${name}: taken as ${kind}, and ${wanted}`, async () => {
    const { status, last_error: error } = await read();
    return error?.kind === kind && status === wanted;
  });
  assert.equal(spool.queue.depth(), EVENTS, name);

  spoiler.spoil = undefined;
  collector.script = () => ({ status: 200 });
  const isMended = settings === undefined;
  if (!isMended) assert.equal(await stop(publisher), 0, name);
  await using _mended = isMended ? undefined : spool.quickPublisher(QUICK, healthy);
  await eventually(`an empty queue after: ${name}`, () => spool.queue.depth() === 0);
  if (isMended) assert.equal(await stop(publisher), 0, name);
  assert.deepEqual(
    collector.batches.filter(({ path }) => path !== "/v2j"),
    [],
    "no redirect is followed",
  );
  return countUp(
    numbersFrom(1, EVENTS),
    collector,
    spool.deadLetters().map(({ id }) => id),
  );
}

function troubles(name: string, all: readonly Trouble[], quick: number): Fault {
  return {
    name: `the collector: ${name}`,
    rounds: all.length,
    quickRounds: Math.min(quick, all.length),
    async run(rounds) {
      const left = all.slice(0, rounds);
      const counts: Counts[] = [];
      while (left.length > 0)
        counts.push(...(await Promise.all(left.splice(0, AT_ONCE).map((trouble) => suffer(trouble)))));
      const sum = sumOf(counts);
      assert.equal(sum.dead, 0, "no event is at fault");
      return sum;
    },
  };
}

/** Kept-alive connections that the collector closes whenever it likes, also as a request is on its way. */
const CLOSING: Fault = {
  name: "the collector: closes connections after a while",
  rounds: 300,
  quickRounds: 30,
  async run(rounds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    await using spoiler = new Spoiler(collector.port);
    spoiler.spoil = (socket) => {
      passOn(socket, collector.port);
      setTimeout(() => socket.destroy(), 20 + Math.random() * 200);
    };
    const port = await spoiler.listen();
    await using publisher = spool.quickPublisher(QUICK, {
      "collector.hostname": `127.0.0.1:${port}`,
      "batch.max_age": "0ms",
    });
    for (let round = 0; round < rounds; round++) {
      spool.put(1);
      await sleep(Math.random() * 20);
    }
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(await stop(publisher), 0);
    return countUp(numbersFrom(1, rounds), collector);
  },
};

/** It may ask to be left alone for as long as it likes, and is for an hour; the publisher stops all the same. */
const LONG_RETRY_AFTER: Fault = {
  name: "the collector: Retry-After of 30 years",
  rounds: 2,
  quickRounds: 2,
  async run(rounds) {
    const values = ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"].slice(0, rounds);
    const counts = values.map(async (after) => {
      using spool = new Spool();
      await using collector = await ScriptedCollector.open();
      collector.script = () => ({ status: 429, headers: { "Retry-After": after } });
      spool.put(EVENTS);
      const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
      await using publisher = spool.publisher(settings);
      const line = JSON.parse(await publisher.line(/retrying in/)) as {
        properties: { retryInMs: number };
      };
      const { retryInMs } = line.properties;
      assert.ok(retryInMs >= 3_600_000 && retryInMs <= 3_660_000, `${retryInMs} ms`);
      assert.equal(await stop(publisher), 0);
      collector.script = () => ({ status: 200 });
      await using _next = spool.publisher(settings);
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      return countUp(numbersFrom(1, EVENTS), collector);
    });
    return sumOf(await Promise.all(counts));
  },
};

export const ANSWERS: readonly Fault[] = [
  troubles("none, cut, slow, huge, or not HTTP", SILENT, 18),
  troubles("5xx, 408, 425, 429, Retry-After", BUSY, 3),
  troubles("3xx, 401, 403, 404 and other 4xx", WRONG, 5),
  BAD_CERTIFICATE,
  CLOSING,
  LONG_RETRY_AFTER,
];
