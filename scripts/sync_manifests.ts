/**
 * Copies the version from package.json to src/version.ts; version, license, exports and dependencies to deno.json, from
 * which JSR publishes; and the exports to tsconfig.build.json, which makes their types. `--check` only fails if they
 * differ.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { exit } from "node:process";

interface PackageJson {
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, { readonly bun: string }>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<"hono", string>>;
}

const manifest = JSON.parse(read("package.json")) as PackageJson;
const wanted: Readonly<Record<string, string>> = {
  "src/version.ts": read("src/version.ts").replace(/"[^"]*"/, JSON.stringify(manifest.version)),
  "deno.json": `${JSON.stringify(denoJson(), null, 2)}\n`,
  "tsconfig.build.json": `${JSON.stringify(buildConfig(), null, 2)}\n`,
};
const stale = Object.keys(wanted).filter((path) => !says(path, wanted[path] as string));
if (process.argv.includes("--check")) {
  for (const path of stale) console.error(`${path} differs from package.json: run \`bun run generate\``);
  exit(stale.length > 0 ? 1 : 0);
}
for (const path of stale) writeFileSync(location(path), wanted[path] as string);

function denoJson(): object {
  const { version, license, exports, bin, dependencies, optionalDependencies } = manifest;
  const { hono } = manifest.peerDependencies;
  return {
    ...JSON.parse(read("deno.json")),
    version,
    license,
    // JSR takes the sources that Bun takes, and has no commands: `deno run jsr:@eventspool/eventspool/eventspool-publisher`.
    exports: {
      ...mapValues(exports, ([, { bun }]) => bun),
      ...Object.fromEntries(Object.entries(bin).map(([name, path]) => [`./${name}`, sourceOf(path)])),
    },
    imports: mapValues(
      { ...dependencies, ...optionalDependencies, hono },
      ([name, range]) => `npm:${name}@${range}`,
    ),
  };
}

function buildConfig(): object {
  const files = Object.values(manifest.exports).map(({ bun }) => bun.replace("./", ""));
  return { ...JSON.parse(read("tsconfig.build.json")), files };
}

/** `./src/commands/queue.ts` of `./dist/commands/queue.js`. */
function sourceOf(path: string): string {
  return path.replace("./dist/", "./src/").replace(/js$/, "ts");
}

/** The layout of JSON is up to the formatter. */
function says(path: string, text: string): boolean {
  const compact = (json: string): string => JSON.stringify(JSON.parse(json));
  return path.endsWith(".json") ? compact(read(path)) === compact(text) : read(path) === text;
}

function mapValues<T>(
  record: Readonly<Record<string, T>>,
  map: (entry: [string, T]) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map((entry) => [entry[0], map(entry)]));
}

function read(path: string): string {
  return readFileSync(location(path), "utf8");
}

function location(path: string): URL {
  return new URL(`../${path}`, import.meta.url);
}
