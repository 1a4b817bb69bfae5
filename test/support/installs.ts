import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { delimiter, dirname } from "node:path";
import process from "node:process";

/** A service that puts into two queues of the directory that is its argument, and prints what is logged: which SQLite it uses. */
export const SQLITE_REPORTER: string = `import process from "node:process";
import { configureSync } from "@logtape/logtape";
import { EventQueue, serializeJsonEvent } from "eventspool";

configureSync({
  sinks: { print: ({ message }) => console.log(message.join("")) },
  loggers: [
    { category: ["logtape", "meta"], sinks: [] },
    { category: "eventspool", lowestLevel: "debug", sinks: ["print"] },
  ],
});
for (const name of ["one", "two"]) {
  const events = new EventQueue(name, serializeJsonEvent, { directory: process.argv[2] });
  events.put({});
  events.close();
}
`;

/** The environment in which a runtime that was found is `node`, or the like, for all that is started. */
export function pathWith(runtime: string): Record<string, string> {
  return { PATH: `${dirname(runtime)}${delimiter}${process.env.PATH}` };
}

/** Why a program of npm cannot be run, for `skip`; undefined: it can. */
export function whyMissing(pinned: string, env: Record<string, string>): string | undefined {
  const options = { encoding: "utf8", cwd: tmpdir(), env: { ...process.env, ...env } } as const;
  const { status, stderr, error } = spawnSync(process.execPath, ["x", pinned, "--version"], options);
  return status === 0 ? undefined : `bun x ${pinned} failed: ${error?.message ?? stderr}`;
}
