import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { DENO } from "../../../scripts/runtimes.ts";
import { assertDelivers, queueDirectory } from "../../support/delivery.ts";
import { type Program, start, startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const OPTIONS = {
  skip: process.versions.bun === undefined && "the tasks are Deno's, whatever runs this file",
  timeout: 600_000,
};

test("the tasks of deno.json allow what the publisher and the collector need", OPTIONS, async (t) => {
  const deno = getRuntime(DENO);
  if ("missing" in deno) return t.skip(deno.missing);
  using directory = temporaryDirectory();
  const queue = queueDirectory(directory.path);
  const task = (name: string, places: Record<string, string>): Program => {
    const here = { ...places, "$HOME/.local/state/eventspool": queue };
    return startCommand([deno.path, argumentsOf(name, here)], { cwd: ROOT, env: { EVENTSPOOL_DIR: queue } });
  };

  await assertDelivers(directory.path, {
    collector: (file) =>
      task("collector", {
        "examples/config.ini": file,
        "=. ": `=${directory.path},node_modules `,
        "127.0.0.1:9800": "127.0.0.1:0",
      }),
    producer: () => start("test/support/programs/delivery_producer.ts", [queue]),
    publisher: (file, host) =>
      task("publisher", {
        "examples/config.ini": file,
        "127.0.0.1:9800": host,
        "127.0.0.1:9900": "127.0.0.1:0",
      }),
  });
});

test("the publisher's task allows nothing that it can do without", OPTIONS, async (t) => {
  const deno = getRuntime(DENO);
  if ("missing" in deno) return t.skip(deno.missing);
  using home = temporaryDirectory();
  const config = join(home.path, "config.ini");
  writeFileSync(config, CONFIG, { mode: 0o600 });
  const state = join(home.path, ".local", "state", "eventspool");
  mkdirSync(state, { recursive: true });
  const places = {
    "examples/config.ini": config,
    "$HOME/.local/state/eventspool": state,
    "127.0.0.1:9900": "127.0.0.1:0",
  };
  const all = argumentsOf("publisher", places);
  const env = { HOME: home.path, EVENTSPOOL_DIR: "", STATE_DIRECTORY: "", XDG_STATE_HOME: "" };

  for (const fewer of withoutOnePermission(all)) {
    await using publisher = startCommand([deno.path, fewer], { cwd: ROOT, env });
    assert.notEqual(await publisher.ended, 0, fewer.join(" "));
    assert.doesNotMatch(publisher.stderr.join("\n"), /Publishing queue/, fewer.join(" "));
  }
});

/** For the default directory, with a collector that nobody asks before the publisher is ready. */
const CONFIG = `[event-publisher:main]
collector.hostname = 127.0.0.1:9800
collector.scheme = http
key.name = tests
key.secret = dGVzdHM=
admin.listen = 127.0.0.1:0
`;

/** What a task of deno.json gives to `deno`, with other places than the example's. */
function argumentsOf(task: string, places: Readonly<Record<string, string>>): string[] {
  const { tasks } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")) as {
    tasks: Record<string, { command: string }>;
  };
  let command = tasks[task]?.command ?? "";
  for (const [place, other] of Object.entries(places)) command = command.replaceAll(place, other);
  const [program, ...args] = command.split(" ");
  assert.equal(program, "deno");
  return args;
}

/**
 * The arguments without one value of one flag, for each of them. Not without `statfs`, which the publisher asks
 * for so that puts stop before a disk is full, and runs without; nor an address, which it may use later.
 */
function withoutOnePermission(args: readonly string[]): string[][] {
  return args.flatMap((arg, position) => {
    const [flag = "", list] = arg.split("=");
    if (list === undefined) return [];
    const values = list.split(",");
    const needed = values.filter((value) => value !== "statfs" && value !== "127.0.0.1:9800");
    return needed.map((left) => {
      const fewer = values.filter((value) => value !== left);
      const replaced = fewer.length > 0 ? [`${flag}=${fewer.join(",")}`] : [];
      return [...args.slice(0, position), ...replaced, ...args.slice(position + 1)];
    });
  });
}
