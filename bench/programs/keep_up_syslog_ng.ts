/**
 * syslog-ng with a disk buffer that survives a crash (`reliable(yes)`), from a TCP socket to HTTP in batches of
 * 1,500 lines, without signature and gzip, which it does not support. `{"directory", "events"}`. Prints the rate from
 * the first line sent to the last one posted, and its CPU.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { randomEvent } from "./random_events.ts";

const { directory, events } = JSON.parse(process.argv[2] ?? "{}") as { directory: string; events: number };
const own = mkdtempSync(join(directory, "syslog-ng-"));
const socket = join(own, "in.sock");

const NEWLINE = 10;
let lines = 0;
const server = createServer((request, response) => {
  request.on("data", (chunk: Buffer) => {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines++;
  });
  request.on("end", () => response.end());
}).listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;

writeFileSync(
  join(own, "syslog-ng.conf"),
  `@version: 3.38
options { stats-freq(0); };
source s { unix-stream("${socket}" flags(no-parse) log-iw-size(100000) log-fetch-limit(1000)); };
destination d {
  http(url("http://127.0.0.1:${port}/") method("POST") body("\${MSG}\\n") delimiter("") workers(4)
    batch-lines(1500) batch-timeout(1000)
    disk-buffer(reliable(yes) disk-buf-size(2147483648) mem-buf-size(67108864) dir("${own}")));
};
log { source(s); destination(d); flags(flow-control); };
`,
);
const files = ["-f", "syslog-ng.conf", "-R", "persist", "-p", "pid", "-c", "control"];
const syslog = spawn("syslog-ng", ["-F", "--no-caps", ...files], { cwd: own, stdio: "inherit" });
const client = await connected();
const pool = Array.from({ length: 1_000 }, () => Buffer.concat([randomEvent(), Buffer.from("\n")]));
const thousand = Buffer.concat(pool);

const startedAtMs = performance.now();
for (let sent = 0; sent < events; sent += 1_000) if (!client.write(thousand)) await once(client, "drain");
while (lines < events) {
  if (syslog.exitCode !== null) throw new Error(`syslog-ng ended with ${syslog.exitCode}`);
  await sleep(5);
}
const deliveredPerS = (events / (performance.now() - startedAtMs)) * 1_000;
const stat = readFileSync(`/proc/${syslog.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
const cpuUs = ((Number(stat[11]) + Number(stat[12])) * 10_000) / events; // ticks of 10 ms
const status = readFileSync(`/proc/${syslog.pid}/status`, "utf8");
const maxRssMb = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1_000;
syslog.kill();
await once(syslog, "exit");
rmSync(own, { recursive: true });
console.log(JSON.stringify({ deliveredPerS, cpuUs, maxRssMb }));
process.exit();

/** Its socket appears some time after its start. */
async function connected(): Promise<Socket> {
  for (let tries = 0; tries < 200; tries++) {
    const client = connect(socket);
    const isUp = await once(client, "connect").then(
      () => true,
      () => false,
    );
    if (isUp) return client;
    await sleep(50);
  }
  throw new Error("syslog-ng does not listen");
}
