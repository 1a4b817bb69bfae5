#!/usr/bin/env node
/** `eventspool-thrift`: generates the code of a Thrift IDL. */
import { stdout } from "node:process";
import { VERSION } from "../version.ts";
import { parseCommandLine, runCommand, UsageError } from "./command.ts";
import { standardOutput } from "./output.ts";
import { generateThriftCode } from "./thrift_code.ts";

const HELP = `Generates the code and the types of a Thrift IDL, for an ESM project.

Usage: eventspool-thrift [options] IDL_FILE

  IDL_FILE             such as event.thrift; what it includes is generated, too

Options:
  --out DIR            where the files are written (default: gen-nodejs beside IDL_FILE)
  --version            print the version, and exit
  --help               print this, and exit

It needs the Apache Thrift compiler, "thrift", 0.17 or later.
Exit codes: 0 done, 1 failed, 2 wrong usage, no compiler, or an IDL that it rejects.
`;

const OPTIONS = {
  out: { type: "string" },
  version: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

await runCommand("eventspool-thrift", async () => {
  const { values, positionals } = parseCommandLine(OPTIONS);
  if (values.help) return void stdout.write(HELP);
  if (values.version) return void stdout.write(`${VERSION}\n`);
  const [idl, ...rest] = positionals;
  if (idl === undefined || rest.length > 0)
    throw new UsageError("one IDL file, please, such as event.thrift.");
  for (const path of generateThriftCode(idl, values.out)) standardOutput().line(path);
});
