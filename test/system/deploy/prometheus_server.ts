import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { startCommand } from "../../support/processes.ts";
import { freePorts } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Why tests with a real Prometheus are skipped, for `skip`; false: they are not. */
export const NO_PROMETHEUS: string | false =
  spawnSync("prometheus", ["--version"]).error !== undefined &&
  "prometheus is not installed: apt-get install prometheus";

/** How much faster than in production alerts are looked at, wait and resolve. */
const SPEED = 60;

/** How long a query may take to have a result, or an alert to fire or to resolve, on a busy machine, in milliseconds. */
const PATIENT_MS = 240_000;

const EVALUATION_INTERVAL = "500ms";

/** Also how long a scrape may take. */
const SCRAPE_INTERVAL = "1s";

/** The jobs that the alerts expect. */
type Job = "eventspool" | "eventspool-collector";

/** A real Prometheus with the alerts of `deploy/`, many times faster. */
export interface PrometheusServer extends AsyncDisposable {
  /** Scrapes an address from now on. Resolves when it was seen to answer. */
  scrape(job: Job, address: string): Promise<void>;
  /** Resolves when a query has a result. */
  sees(query: string): Promise<void>;
  /** Resolves when each of the alerts fires. */
  fires(...alerts: string[]): Promise<void>;
  /** Resolves when none of the alerts fires, nor waits to. */
  resolves(...alerts: string[]): Promise<void>;
}

interface Alert {
  readonly labels: { readonly alertname: string };
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

/** Starts one, which scrapes nothing yet. */
export async function startPrometheus(): Promise<PrometheusServer> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(temporaryDirectory());
  const targets: { targets: string[]; labels: { job: Job } }[] = [];
  const writeTargets = (): void => {
    writeFileSync(join(path, "targets.new"), JSON.stringify(targets));
    renameSync(join(path, "targets.new"), join(path, "targets.json")); // never seen half
  };
  writeTargets();
  mkdirSync(join(path, "data"));
  writeFileSync(join(path, "alerts.yml"), faster(readDeployment("prometheus/alerts.yml")));
  writeFileSync(
    join(path, "prometheus.yml"),
    JSON.stringify({
      global: {
        scrape_interval: SCRAPE_INTERVAL,
        scrape_timeout: SCRAPE_INTERVAL,
        evaluation_interval: EVALUATION_INTERVAL,
      },
      rule_files: ["alerts.yml"],
      scrape_configs: [
        { job_name: "all", file_sd_configs: [{ files: ["targets.json"], refresh_interval: "1s" }] },
      ],
    }), // YAML is a superset of JSON
  );
  const [port] = await freePorts(1);
  const listen = `127.0.0.1:${port}`;
  const args = [`--config.file=${path}/prometheus.yml`, `--storage.tsdb.path=${path}/data`];
  const program = stack.use(startCommand(["prometheus", [...args, `--web.listen-address=${listen}`]]));
  await program.line(/Server is ready to receive web requests/);

  const ask = async <T>(question: string): Promise<T> => {
    const response = await fetch(`http://${listen}/api/v1/${question}`);
    return ((await response.json()) as { data: T }).data;
  };
  /** Resolves when each alert has been in the state once; undefined: it neither fires nor waits to. */
  const reach = async (state: "firing" | undefined, names: readonly string[]): Promise<void> => {
    const missing = new Set(names);
    const has = (alerts: readonly Alert[], name: string): boolean => {
      const states = alerts.filter(({ labels }) => labels.alertname === name).map((alert) => alert.state);
      return state === undefined ? states.length === 0 : states.includes(state);
    };
    const look = async (): Promise<boolean> => {
      const { alerts } = await ask<{ alerts: Alert[] }>("alerts");
      for (const name of missing) if (has(alerts, name)) missing.delete(name);
      return missing.size === 0;
    };
    const what = `each of ${names.join(", ")} to ${state === undefined ? "resolve" : "fire"}`;
    await eventually(what, look, PATIENT_MS);
  };
  const sees = async (query: string): Promise<void> => {
    const look = async (): Promise<boolean> => {
      const { result } = await ask<{ result: unknown[] }>(`query?query=${encodeURIComponent(query)}`);
      return result.length > 0;
    };
    await eventually(query, look, PATIENT_MS); // a busy machine misses scrapes, whose limit is one interval
  };
  const rest = stack.move();
  return {
    scrape: async (job, address) => {
      targets.push({ targets: [address], labels: { job } });
      writeTargets();
      await sees(`up{instance="${address}"} == 1`);
    },
    sees,
    fires: (...alerts) => reach("firing", alerts),
    resolves: (...alerts) => reach(undefined, alerts),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

/** Divides durations and large thresholds, of seconds and bytes: `[5m]`, `for: 2m`, `> 600`. */
function faster(rules: string): string {
  const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
  return rules
    .replaceAll(/(\[|for: )(\d+)([smh])/g, (_, before, count, unit) => {
      return `${before}${(Number(count) * unitsMs[unit]!) / SPEED}ms`;
    })
    .replaceAll(/([>,] )(\d{3,})\b/g, (_, before, number) => `${before}${Number(number) / SPEED}`);
}
