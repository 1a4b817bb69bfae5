/** The state of a server. */
export type Life = "dead" | "up" | "leads";

/** The data of the live table. */
export interface ClusterFigures {
  /** How long the demo runs, such as `1.5 s`. */
  readonly time: string;
  readonly hosts: readonly {
    readonly name: string;
    readonly way: string;
    readonly put: number;
    readonly depth: number;
    readonly isPublishing: boolean;
  }[];
  readonly servers: readonly { readonly name: string; readonly life: Life }[];
  readonly put: number;
  readonly depth: number;
  /** How many events the stream has. */
  readonly stored: number;
  /** How many the rollup has counted. */
  readonly counted: number;
}

/** For a terminal: a line for each host, one for the servers, one with the sums. */
export function drawTable(figures: ClusterFigures): string {
  const hosts = figures.hosts.map(({ name, put, depth, isPublishing, way }) =>
    row([name, group(put), group(depth), isPublishing ? `-> ${way}` : "no publisher"]),
  );
  const servers = figures.servers.map(({ name, life }) => `${name} ${life}`);
  const [nats, collectors] = [servers.slice(0, 3), servers.slice(3)];
  return [
    "",
    row(["", "put", "waiting", ""]),
    ...hosts,
    `  ${nats.join("   ")}`,
    `  ${collectors.join("   ")}`,
    drawLine(figures),
  ].join("\n");
}

/** For a log: one line. */
export function drawLine({ time, put, depth, stored, counted }: ClusterFigures): string {
  const [all, waiting] = [group(put), group(depth)];
  return `  ${time}  put ${all}  waiting ${waiting}  in the stream ${group(stored)}  counted ${group(counted)}`;
}

/** Such as `12,345`. */
export function group(count: number): string {
  return count.toLocaleString("en-US");
}

function row([name, put, waiting, publisher]: [string, string, string, string]): string {
  return `  ${name.padEnd(8)}${put.padStart(10)}${waiting.padStart(10)}   ${publisher}`;
}
