/** Runs worlds in simulated time, in a process of its own under Node, whose modules can be given another time. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NODE } from "../../../scripts/runtimes.ts";
import { startCommand } from "../../support/processes.ts";
import { getRuntime } from "../../support/runtimes.ts";
import type { History } from "./world.ts";

const PROGRAM = fileURLToPath(new URL("simulate.ts", import.meta.url));

/** Which worlds: as many as `worlds`, by the seeds from `seed` on, each of `hours`. */
export interface SimulationOptions {
  readonly seed: number;
  readonly worlds: number;
  readonly hours: number;
}

/** What the worlds went through together. */
export interface Histories extends Readonly<History> {
  readonly hours: number;
}

/** Why nothing can be simulated here, for `skip`; undefined: it can. */
export function simulationMissing(): string | undefined {
  const node = getRuntime(NODE);
  return "missing" in node ? node.missing : undefined;
}

/** @throws {Error} (rejects) something was not as promised: it names the seed, which shows it again */
export async function simulate({ seed, worlds, hours }: SimulationOptions): Promise<Histories> {
  const node = getRuntime(NODE);
  if ("missing" in node) throw new Error(node.missing);
  const args = ["--no-warnings", PROGRAM, ...[seed, worlds, hours].map(String)]; // killed publishers leave files open
  await using program = startCommand([node.path, args]);
  const code = await program.ended;
  if (code !== 0) throw new Error(program.stderr.join("\n"));
  return JSON.parse(program.stdout.at(-1)!) as Histories;
}

/** `bun run faults time [--seed N] [--worlds N] [--hours N]`. Returns how many failed. */
export async function simulateMany(args: string[]): Promise<number> {
  const string = { type: "string" } as const;
  const { values } = parseArgs({ args, options: { seed: string, worlds: string, hours: string } });
  const { seed = String(Date.now() % 1_000_000), worlds = "10", hours = "200" } = values;
  try {
    console.log(await simulate({ seed: Number(seed), worlds: Number(worlds), hours: Number(hours) }));
    return 0;
  } catch (error) {
    console.log((error as Error).message);
    return 1;
  }
}
