/**
 * `bun run fleet [--write]`: what hosts send to their collector, and how a fleet recovers after its collector was down
 * for an hour, simulated with the real backoff and concurrency. `--write` draws it into docs/capacity.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Fleet, type Second, simulate } from "./fleet_simulation.ts";
import { load } from "./load.ts";
import { draw } from "./plots.ts";

const OUTAGE_S = 3_600;
const AFTER_S = 3_000;

/** The round trip to the collector. */
const DISTANCE_S = 0.05;

/** 1,000 hosts, of 10 events a second each; the collector can take four times that, and 8,000 requests a second. */
const FLEET: Omit<Fleet, "strategy"> = {
  hosts: 1_000,
  eventsPerS: 10,
  collectorEventsPerS: 40_000,
  collectorRequestsPerS: 15_000,
  outageS: OUTAGE_S,
};

const { values } = parseArgs({ options: { write: { type: "boolean" } } });
for (const eventsPerS of [1, 10, 100, 1_000, 10_000]) tellLoad(eventsPerS);
const runs = (["eventspool", "fixed"] as const).map((strategy) => {
  const seconds = simulate({ ...FLEET, strategy }, OUTAGE_S + AFTER_S);
  tell(strategy, seconds);
  return { strategy, seconds };
});
if (values.write) {
  const directory = fileURLToPath(new URL("../docs/capacity", import.meta.url));
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/recovery.svg`, await draw(picture()));
}

/** A row for each `batch.min_interval` of one host. */
function tellLoad(eventsPerS: number): void {
  const cells = [0.05, 1].map((minIntervalS) => {
    const { requestsPerS, bytesPerS, inFlight } = load(eventsPerS, minIntervalS, DISTANCE_S);
    return `${requestsPerS.toFixed(2)} requests/s, ${(bytesPerS / 1_000).toFixed(1)} kB/s, ${inFlight.toFixed(1)} in flight`;
  });
  console.log(`one host at ${eventsPerS} events/s: min_interval 50ms: ${cells[0]}; 1s: ${cells[1]}`);
}

function tell(strategy: string, seconds: readonly Second[]): void {
  const during = seconds.slice(600, OUTAGE_S);
  const after = seconds.slice(OUTAGE_S);
  const normal = FLEET.hosts * FLEET.eventsPerS;
  const emptyAfterS = after.findIndex(({ backlog }) => backlog < normal);
  const most = (figure: keyof Second, of: readonly Second[]) =>
    Math.max(...of.map((second) => second[figure]));
  console.log(
    `${strategy.padEnd(10)} in the outage ${mean(during, "requests").toFixed(0)} requests/s (most ${most("requests", during)}); ` +
      `after it, first minute: most ${most("requests", after.slice(0, 60))} requests/s, ${sum(after.slice(0, 60), "rejected")} rejected; ` +
      `backlog gone after ${emptyAfterS < 0 ? `more than ${AFTER_S}` : emptyAfterS} s, ` +
      `${mean(after.slice(0, Math.max(1, emptyAfterS)), "delivered").toFixed(0)} events/s taken meanwhile; rejected in all ${sum(after, "rejected")}; ` +
      `then ${mean(after.slice(-60), "requests").toFixed(0)} requests/s`,
  );
}

function sum(of: readonly Second[], figure: keyof Second): number {
  return of.reduce((total, second) => total + second[figure], 0);
}

function mean(of: readonly Second[], figure: keyof Second): number {
  return sum(of, figure) / of.length;
}

function picture(): Parameters<typeof draw>[0] {
  const values = runs.flatMap(({ strategy, seconds }) =>
    ["requests", "delivered", "backlog"].flatMap((figure) =>
      seconds
        .slice(OUTAGE_S - 120, OUTAGE_S + 1_600)
        .filter(({ s }) => s % 4 === 0)
        .map((second) => ({
          strategy,
          figure: `${figure}${figure === "backlog" ? ", events" : "/s"}`,
          minutes: (second.s - OUTAGE_S) / 60,
          value: second[figure as keyof Second],
        })),
    ),
  );
  return {
    background: "white",
    data: { values },
    facet: { row: { field: "figure", title: null } },
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 640,
      height: 140,
      mark: { type: "line", strokeWidth: 1.2 },
      encoding: {
        x: { field: "minutes", type: "quantitative", title: "minutes after the collector is back" },
        y: { field: "value", type: "quantitative", title: null },
        color: { field: "strategy", type: "nominal", title: null, scale: { range: ["#2f6fde", "#d1603d"] } },
      },
    },
  };
}
