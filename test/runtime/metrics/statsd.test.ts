import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { resetSync } from "@logtape/logtape";
import {
  formatCounter,
  formatNumber,
  formatTimer,
  joinName,
  StatsdClient,
} from "../../../src/metrics/statsd.ts";
import { captureLog } from "../../support/captured_log.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { readVectors } from "../../support/vectors.ts";

const COUNTERS = [1, 9, 100, 1702, 99_999, 999_999, 1_000_000, 1_234_567, 0.5];
const TIMERS_MS = [0.1, 1.234567, 50, 1000, 3000, 3005.1234, 123_456.7, 1_234_567.8];

for (const { namespace, packets } of readVectors<{ namespace: string; packets: string[] }[]>("metrics")) {
  test(`sends the packets of baseplate.py with the namespace ${JSON.stringify(namespace)}`, () => {
    const name = (last: string) => joinName(namespace, last);
    assert.deepEqual(
      [
        ...COUNTERS.map((delta) => formatCounter(name("sent"), delta)),
        ...["error.http", "error.io", "lead"].map((last) => formatCounter(name(last), 1)),
        ...TIMERS_MS.map((ms) => formatTimer(name("post"), ms)),
      ],
      packets.filter((packet) => !/\|(?:g|c\|@.*)$/.test(packet)), // no gauge, and no sample
    );
  });
}

test("formats numbers like C's %g", () => {
  const expected: [number, string][] = [
    [0, "0"],
    [-1.5, "-1.5"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [0.0000123456789, "1.23457e-05"],
    [999_999.5, "1e+06"],
    [1e100, "1e+100"],
    [1e-300, "1e-300"],
    [12345.25, "12345.2"],
    [12345.75, "12345.8"],
    [100_000.5, "100000"],
    [-100_001.5, "-100002"],
  ];
  for (const [value, text] of expected) assert.equal(formatNumber(value), text);
});

async function listen(port = 0): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(port, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

async function receive(socket: Socket, count: number): Promise<string[]> {
  const packets: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("message", (packet) => {
    packets.push(packet.toString());
    if (packets.length === count) resolve();
  });
  await promise;
  return packets.sort(); // UDP promises no order, and Deno keeps none
}

test("sends one packet for each metric", async () => {
  const statsd = await listen();
  const received = receive(statsd, 3);
  const endpoint = { host: "127.0.0.1", port: statsd.address().port };
  const client = new StatsdClient({ namespace: "a.b", endpoint });
  client.timer("post", 12.5);
  client.counter("sent", 1702);
  client.counter("error.io");
  await client.close();
  assert.deepEqual(await received, ["a.b.error.io:1|c", "a.b.post:12.5|ms", "a.b.sent:1702|c"]);
  statsd.close();
});

test("resolves the host name of statsd, and drops metrics until then", async () => {
  const statsd = await listen();
  const received = receive(statsd, 1);
  const client = new StatsdClient({
    namespace: "",
    endpoint: { host: "localhost", port: statsd.address().port },
  });
  client.counter("dropped");
  const sending = setInterval(() => client.counter("sent"), 5);
  assert.deepEqual(await received, ["sent:1|c"]);
  clearInterval(sending);
  await client.close();
  statsd.close();
});

test("keeps no process alive", async () => {
  const [command, args] = runtimeCommand(
    new URL("../../support/programs/unclosed_metrics.ts", import.meta.url),
  );
  const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  const [exitCode] = await once(child, "exit");
  assert.equal(exitCode, 0);
});

test("sends again when statsd is back", async () => {
  const first = await listen();
  const { port } = first.address();
  first.close();
  await once(first, "close");
  const client = new StatsdClient({ namespace: "", endpoint: { host: "127.0.0.1", port } });
  for (let i = 0; i < 20; i++) {
    client.counter("lost");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const second = await listen(port);
  const received = receive(second, 1);
  const sending = setInterval(() => client.counter("sent"), 5);
  assert.match((await received)[0] ?? "", /^(sent|lost):1\|c$/);
  clearInterval(sending);
  await client.close();
  second.close();
});

test("survives a flood, and drops what cannot be sent at once", async () => {
  const statsd = await listen();
  const endpoint = { host: "127.0.0.1", port: statsd.address().port };
  const received = receive(statsd, 1);
  const client = new StatsdClient({ namespace: "", endpoint });
  for (let i = 0; i < 10_000; i++) client.counter("sent");
  await received;
  await client.close();
  statsd.close();
});

for (const endpoint of [
  { host: "statsd.invalid", port: 8125 },
  { host: "255.255.255.255", port: 8125 }, // EACCES: broadcasting was not asked for
  { host: "127.0.0.1", port: 0 },
]) {
  test(`never throws and logs once when ${endpoint.host}:${endpoint.port} cannot be reached`, async () => {
    const records = captureLog();
    const client = new StatsdClient({ namespace: "", endpoint });
    const ours = () => records.filter(({ category }) => category.includes("metrics")); // all files share a process
    while (ours().length === 0) {
      client.counter("sent");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (let i = 0; i < 20; i++) client.counter("sent");
    await client.close();
    client.counter("sent");
    resetSync();
    const [record, ...others] = ours();
    assert.deepEqual([record?.level, others], ["warning", []]);
    assert.match(record?.message.join("") ?? "", /^Cannot send metrics to /);
  });
}

test("writes metrics to the debug log without an endpoint, if configured", async () => {
  const records = captureLog();
  const client = new StatsdClient({ namespace: "a", logIfUnconfigured: true });
  client.counter("sent", 3);
  await client.close();
  new StatsdClient({ namespace: "a" }).counter("sent", 3);
  resetSync();
  assert.deepEqual(
    records.map(({ level, message, category }) => [level, message.join(""), category.join(".")]),
    [["debug", "Would send metric a.sent:3|c", "eventspool.metrics"]],
  );
});
