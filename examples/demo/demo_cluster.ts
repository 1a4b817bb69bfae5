/**
 * `bun run demo:cluster`: a fleet. Five hosts put events: three send them to collectors behind a load balancer, two
 * directly to JetStream, a cluster of three servers. A consumer counts them. Under load one of each is killed. All
 * numbers are counted. `--events N` makes it larger or smaller.
 */
import process from "node:process";
import { LEASE_MARGIN_MS } from "../../src/wire/retry_after.ts";
import { Children } from "./children.ts";
import { ClusterDemo } from "./cluster_demo.ts";
import { findNatsServer } from "./nats_cluster.ts";
import { readCount, runDemo, temporaryDirectory } from "./run_demo.ts";

const EVENTS = { standard: 20_000, min: 100, max: 10_000_000 };

const LOAD_MS = 15_000;

/** Short for the demo: the lease of a killed publisher expires after this and its margin. */
const TIMEOUT_MS = 3_000;

/** Enough for a lease and an election on a slow machine. */
const MAX_DRAIN_MS = 120_000;

await runDemo(async (interrupted) => {
  const events = readCount("events", EVENTS);
  const natsServer = findNatsServer();
  using directory = temporaryDirectory();
  await using children = new Children(process.env);
  using demo = new ClusterDemo(children, {
    directory: directory.path,
    natsServer,
    events,
    loadMs: LOAD_MS,
    timeoutMs: TIMEOUT_MS,
    leaseMarginMs: LEASE_MARGIN_MS,
    maxDrainMs: MAX_DRAIN_MS,
  });
  await Promise.race([demo.run(), children.failure, interrupted]);
});
