import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/**
 * The rooms of `src/`, from the ground up, and which of those above in this table each may import. So no import runs
 * upward, and there is no circle. The files beside the rooms are `ground`; `mod.ts` is the roof.
 */
const ROOMS: Readonly<Record<string, string>> = {
  ground: "",
  wire: "ground",
  serializers: "ground",
  "storage/sqlite": "ground",
  storage: "ground wire storage/sqlite",
  server: "ground",
  metrics: "ground",
  config: "ground wire server storage",
  nats: "ground wire config",
  postgres: "ground config",
  queue: "ground wire serializers storage/sqlite storage",
  "publisher/destinations": "ground wire config nats postgres",
  publisher: "ground wire storage/sqlite storage config metrics publisher/destinations",
  "collector/sinks": "ground wire storage/sqlite storage config nats postgres",
  collector: "ground wire serializers config server metrics collector/sinks",
  "admin/dashboard": "ground storage server publisher",
  admin: "ground storage server metrics publisher admin/dashboard",
  testing: "ground wire storage config queue publisher collector/sinks collector",
  "commands/queue": "ground wire serializers storage config queue",
  commands:
    "ground storage config server publisher publisher/destinations collector collector/sinks admin commands/queue",
  roof: "ground wire serializers storage queue",
};

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));

test("imports run downward: each room imports what its row of the table names, and nothing else", () => {
  const violations: string[] = [];
  for (const file of sourceFiles())
    for (const imported of importsOf(file)) {
      const [from, to] = [roomOf(file), roomOf(imported)];
      if (from !== to && !ROOMS[from]!.split(" ").includes(to))
        violations.push(`${file} imports ${imported}`);
    }
  assert.deepEqual(violations, []);
});

test("a row of the table names only rows above it, and each room has one", () => {
  const above = new Set<string>();
  for (const [room, allowed] of Object.entries(ROOMS)) {
    for (const name of allowed.split(" ").filter(Boolean)) assert.ok(above.has(name), `${room}: ${name}`);
    above.add(room);
  }
  assert.deepEqual(new Set(sourceFiles().map(roomOf)), new Set(Object.keys(ROOMS)));
});

test("no file imports itself through others, not even for a type", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file].join(" -> ");
    if (done.has(file)) return undefined;
    const circle = importsOf(file)
      .map((imported) => visit(imported, [...path, file]))
      .find((found) => found !== undefined);
    done.add(file);
    return circle;
  };
  assert.deepEqual(
    sourceFiles()
      .map((file) => visit(file, []))
      .filter((circle) => circle !== undefined),
    [],
  );
});

/**
 * What modules of Node 24 export, and those of Node 18.0 do not (of the modules that src/ imports). To import one by name
 * is a SyntaxError under an old Node, before eventspool can throw OLD_RUNTIME. `import zlib from "node:zlib"` is none.
 */
const NEW_IN_NODE: Readonly<Record<string, string>> = {
  buffer: "File isAscii isUtf8",
  crypto: "argon2 argon2Sync decapsulate encapsulate hash randomUUIDv7",
  dns: "getDefaultResultOrder resolveTlsa",
  events: "addAbortListener getMaxListeners",
  fs: "Utf8Stream glob globSync mkdtempDisposableSync openAsBlob statfs statfsSync",
  "fs/promises": "constants glob mkdtempDisposable statfs",
  module: "enableCompileCache findPackageJSON isBuiltin register registerHooks stripTypeScriptTypes",
  net: "getDefaultAutoSelectFamily setDefaultAutoSelectFamily",
  os: "availableParallelism machine",
  process: "availableMemory constrainedMemory execve finalization getBuiltinModule loadEnvFile ref unref",
  "stream/consumers": "bytes",
  tls: "getCACertificates setDefaultCACertificates",
  url: "URLPattern fileURLToPathBuffer",
  util: "MIMEParams MIMEType aborted diff getCallSites getSystemErrorMessage parseArgs parseEnv styleText",
  zlib: "crc32 createZstdCompress createZstdDecompress zstdCompress zstdCompressSync zstdDecompress zstdDecompressSync",
};

test("the library can be imported by an old Node, which is then told that it is too old", () => {
  const found: string[] = [];
  for (const file of sourceFiles().filter((name) => !name.startsWith("commands/"))) // these check before they import
    for (const [, names = "", module = ""] of readFileSync(join(SRC, file), "utf8").matchAll(
      /^import (?:\w+, )?\{([^}]*)\} from "node:([\w/]+)"/gm,
    )) {
      const newer = new Set((NEW_IN_NODE[module] ?? "").split(" "));
      for (const name of names.match(/\w+/g) ?? [])
        if (newer.has(name)) found.push(`${file}: ${name} of node:${module}`);
    }
  assert.deepEqual(found, []);
});

function sourceFiles(): string[] {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  return names.map((name) => name.replaceAll("\\", "/")).filter((name) => name.endsWith(".ts"));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), "utf8");
  return [...text.matchAll(/from "(\.[^"]+)"|import\("(\.[^"]+)"\)/g)].map(([, name, dynamic]) =>
    relative(SRC, join(SRC, dirname(file), (name ?? dynamic)!)),
  );
}

function roomOf(file: string): string {
  if (file === "mod.ts") return "roof";
  return file.includes("/") ? dirname(file) : "ground";
}
