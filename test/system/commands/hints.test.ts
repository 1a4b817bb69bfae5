import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { ROOT } from "../../support/project.ts";
import { Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 600_000 };

interface Pasted {
  readonly status: number | null;
  readonly output: string;
}

/** Longer than any hint takes; one that goes on for ever is no hint. */
const PASTE_TIMEOUT_MS = 300_000;

/** What a shell prints for a line, without a terminal to ask on. */
function paste(line: string): Pasted {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", line], {
    cwd: ROOT,
    encoding: "utf8",
    input: "",
    timeout: PASTE_TIMEOUT_MS,
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { status, output: `${stdout}${stderr}` };
}

/** The commands that an output tells its reader to run. They end their line; usage lines and errors are none. */
function hintsIn(output: string, program: string): string[] {
  return output
    .split("\n")
    .filter((line) => !line.startsWith("Usage: ") && !line.startsWith(program) && line.includes(program))
    .map((line) => line.slice(line.lastIndexOf(program)));
}

/** Errors begin with the command, so their hints are behind it. */
function hintsInError(output: string, program: string): string[] {
  const lines = output.split("\n").filter((line) => line.startsWith(program));
  return lines.flatMap((line) => hintsIn(line.slice(program.length), program));
}

for (const program of ["bun run --silent queue", "bun src/commands/queue.ts"])
  test(`each hint that ${program} prints can be pasted, for the same queue`, LIMIT, () => {
    using temporary = temporaryDirectory();
    const directory = join(temporary.path, "it's a directory");
    mkdirSync(directory);
    using spool = new Spool({ directory });
    insertDeadLetters(directory, ["1", "2"]);
    spool.put(3);
    spool.cap(3);
    const at = `--directory "${directory}"`;
    const shown = program.replace(" --silent", "");
    const lines = [
      ...["status", "check", "list", "dead list", "dead show 9", "drain", "pause", "status"],
      ...["depth --interval x", "dead purge --older-than", "depht", "--help", "dead --help", ""],
    ];
    const hints = new Set<string>();
    for (const line of lines) {
      const takesDirectory = /^(status|check|list|dead (list|show)|drain|pause|depth)/.test(line);
      const { output } = paste(`${program} ${line} ${takesDirectory ? at : ""}`);
      for (const hint of [...hintsIn(output, shown), ...hintsInError(output, shown)]) hints.add(hint);
    }
    assert.ok(hints.size >= 9, [...hints].join("\n"));
    assert.ok([...hints].some((hint) => /dead list --all --directory/.test(hint)));
    const outputFile = join(temporary.path, "events.jsonl");
    for (const hint of hints) {
      const line = hint.replace("events.jsonl", outputFile); // not into the repository
      const { status, output } = paste(line);
      assert.ok(
        status === 0 || (status === 1 && / check /.test(line)),
        `${line}\nended with ${status}: ${output}`,
      );
    }
  });
