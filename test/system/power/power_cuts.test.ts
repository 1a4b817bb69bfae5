import { test } from "node:test";
import { cutPower, WORKLOADS } from "./power_cuts.ts";
import { Recorder } from "./recorder.ts";

const CUTS = 30;

for (const workload of WORKLOADS)
  test(`keeps its promise through ${CUTS} power cuts: ${workload.name}`, {
    skip: Recorder.missing ?? false,
    timeout: 600_000,
  }, async () => {
    await cutPower(workload, { cuts: CUTS, seed: 1 });
  });
