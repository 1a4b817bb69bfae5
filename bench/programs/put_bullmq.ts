/** BullMQ on a redis-server of its own: `appendfsync always` for FULL, `everysec` for NORMAL. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { makeEvent, measure, ownDirectory, task } from "./rounds.ts";

const socket = `${ownDirectory()}/redis.sock`;

function startRedis(): ChildProcess {
  const fsync = task.synchronous === "FULL" ? "always" : "everysec";
  const files = ["--dir", socket.replace("/redis.sock", ""), "--appendonly", "yes", "--appendfsync", fsync];
  const redis = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", ...files]);
  process.on("exit", () => redis.kill("SIGKILL"));
  return redis;
}

async function connectable(): Promise<void> {
  for (;;) {
    const connection = createConnection(socket);
    const [isUp] = await Promise.race([
      once(connection, "connect").then(() => [true]),
      once(connection, "error").then(() => [false]),
    ]).catch(() => [false]);
    connection.destroy();
    if (isUp) return;
    await sleep(20);
  }
}

startRedis();
await connectable();
const queue = new Queue("events", { connection: { path: socket } });
const event = JSON.parse(String(makeEvent())) as object;
await measure({ grouped: () => queue.add("event", event) });
process.exit();
