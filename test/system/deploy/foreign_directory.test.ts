import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { DENO, NODE } from "../../../scripts/runtimes.ts";
import { readDeployment } from "../../support/deployment.ts";
import { startCommand } from "../../support/processes.ts";
import { getRuntime } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** A directory of somebody else, whose files try to be read and run by whatever is started there. */
function hostileDirectory(): ReturnType<typeof temporaryDirectory> {
  const directory = temporaryDirectory();
  const write = (name: string, text: string): void => writeFileSync(join(directory.path, name), text);
  const evil = `require("node:fs").writeFileSync(${JSON.stringify(join(directory.path, "executed"))}, "");`;
  write("evil.cjs", evil);
  write("bunfig.toml", 'preload = ["./evil.cjs"]\n[run]\npreload = ["./evil.cjs"]\n');
  for (const name of [".env", ".env.local", ".env.production", ".env.development"])
    write(name, "READ_FROM_ENV_FILE=/nowhere\nNODE_OPTIONS=--require=./evil.cjs\n");
  write("deno.json", '{ "imports": { "hono": "./evil.cjs", "@logtape/logtape": "./evil.cjs" } }');
  write("tsconfig.json", '{ "compilerOptions": { "paths": { "hono": ["./evil.cjs"] } } }');
  write("package.json", '{ "imports": { "#x": "./evil.cjs" } }');
  write("config.ini", "[event-publisher:main]\ndestination = file\nqueue.directory = $READ_FROM_ENV_FILE\n");
  return directory;
}

/** Every command that starts Bun in `deploy/`, by its words. */
function deployedCommands(): string[][] {
  const unit = /^ExecStart=(.*)$/m.exec(readDeployment("systemd/eventspool-publisher@.service"))![1]!;
  const dockerfile = readDeployment("docker/Dockerfile");
  const inDockerfile = [...dockerfile.matchAll(/^(?:ENTRYPOINT|\s*CMD) (\["bun".*\])$/gm)].map(
    ([, words]) => JSON.parse(words!) as string[],
  );
  const compose = parse(readDeployment("docker/compose.yaml")) as {
    services: Record<string, { entrypoint?: string[]; healthcheck?: { test: string[] } }>;
  };
  const inCompose = Object.values(compose.services).flatMap(({ entrypoint, healthcheck }) => [
    entrypoint ?? [],
    healthcheck?.test.slice(1) ?? [],
  ]);
  const all = [unit.split(" "), ...inDockerfile, ...inCompose];
  return all.filter(([program]) => program?.endsWith("bun"));
}

test("a publisher that is started as in deploy/ runs and reads nothing of its working directory", {
  timeout: 600_000,
}, async () => {
  const commands = deployedCommands();
  assert.ok(commands.length >= 5, `only ${commands.length} commands were found`);
  for (const words of commands) {
    const at = words.findIndex((word) => word.startsWith("/opt/eventspool/") || word.startsWith("/app/"));
    const end = at === -1 ? words.indexOf("-e") : at;
    await readsNothing(process.execPath, words.slice(1, end));
  }
});

for (const [name, args] of [
  [DENO, ["run", "-A"]],
  [NODE, []],
] as const) {
  const runtime = getRuntime(name);
  test(
    `a publisher under ${name} runs and reads nothing of its working directory`,
    {
      timeout: 600_000,
      skip: "missing" in runtime && runtime.missing,
    },
    () => readsNothing("path" in runtime ? runtime.path : "", args),
  );
}

/** Checks a configuration in a hostile directory: it asks for a variable that only the .env there has. */
async function readsNothing(runtime: string, args: readonly string[]): Promise<void> {
  using directory = hostileDirectory();
  const command = [...args, join(ROOT, "src/commands/publisher.ts"), "--check", "config.ini"];
  await using program = startCommand([runtime, command], { cwd: directory.path });
  assert.equal(await program.ended, 2, program.stdout.join("\n"));
  assert.match(program.stderr.join(), /variable READ_FROM_ENV_FILE is not set/);
  assert.equal(existsSync(join(directory.path, "executed")), false, command.join(" "));
}

test("without these flags Bun runs what it finds there: the test would see it", async () => {
  using directory = hostileDirectory();
  await using program = startCommand(
    [process.execPath, [join(ROOT, "src/commands/publisher.ts"), "--version"]],
    { cwd: directory.path },
  );
  await program.ended;
  assert.equal(existsSync(join(directory.path, "executed")), true);
});
