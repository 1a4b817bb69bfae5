/**
 * `bun run faults [--quick] [NAME ...]`: causes every fault in real processes, and prints what happened to the events.
 * NAME is a part of a fault's name. The last line is `N passed, N failed`. The exit code is 1 if an event was lost, or
 * another promise was broken.
 *
 * `bun run faults power [--seeds N] [--cuts N]`: power cuts, simulated with the recorded writes of real processes.
 *
 * `bun run faults time [--worlds N] [--hours N]`: publishers in simulated time.
 *
 * `bun run faults soak [--minutes N] [--to DIRECTORY]`: an hour under all runtimes, with kills and cuts of connections.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { formatTable } from "../src/format.ts";
import { FAULTS } from "../test/system/faults/all.ts";
import type { Fault } from "../test/system/faults/fault.ts";
import { soakAll } from "../test/system/faults/soak.ts";
import { cutMany } from "../test/system/power/power_cuts.ts";
import { simulateMany } from "../test/system/simulation/simulation.ts";

const [simulation, ...rest] = process.argv.slice(2);
if (simulation === "power") process.exit((await cutMany(rest)) > 0 ? 1 : 0);
if (simulation === "soak") process.exit((await soakAll(rest)) > 0 ? 1 : 0);
if (simulation === "time") process.exit((await simulateMany(rest)) > 0 ? 1 : 0);

const HEADER = ["fault", "rounds", "put", "delivered", "duplicates", "dead", "lost", "seconds"];

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean", default: false } },
  allowPositionals: true,
});
const chosen = FAULTS.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const rows: string[][] = [];
const problems: string[] = [];
for (const fault of chosen) await run(fault);
console.log(formatTable(HEADER, rows).join("\n"));
for (const problem of problems) console.log(`\n${problem}`);
console.log(`\n${rows.length - problems.length} passed, ${problems.length} failed`);
process.exit(problems.length > 0 || rows.length === 0 ? 1 : 0);

async function run(fault: Fault): Promise<void> {
  const rounds = values.quick ? fault.quickRounds : fault.rounds;
  if (fault.skip !== undefined) return console.log(`skipped: ${fault.name}: ${fault.skip}`);
  process.stderr.write(`${fault.name} ...\n`);
  const startedAtMs = performance.now();
  const row = [fault.name, String(rounds)];
  try {
    const { put, delivered, duplicates, dead, lost } = await fault.run(rounds);
    row.push(...[put, delivered, duplicates, dead, lost].map(String));
    if (lost > 0) problems.push(`${fault.name}: ${lost} events are lost`);
  } catch (error) {
    row.push("-", "-", "-", "-", "-");
    problems.push(`${fault.name}: ${error instanceof Error ? error.stack : error}`);
  }
  rows.push([...row, ((performance.now() - startedAtMs) / 1_000).toFixed(1)]);
}
