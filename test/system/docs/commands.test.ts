import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PAGES, readBlocks } from "../../support/doc_page.ts";
import { reasonNotRun } from "./not_run.ts";
import { isAsShown, type Step, stepsOf } from "./output.ts";
import { prepare } from "./scenes.ts";
import { isTerminal, Stage } from "./stage.ts";

// The pages' commands are Bun's.
const onlyBun = {
  skip: skipReason(),
  timeout: 600_000,
};

/** A command that only reads, so it can be repeated until it prints what the page shows. */
const LOOKS =
  /^(curl|cat|grep|(bun run queue|bunx --bun eventspool) (status|list|depth|peek|check|dead (list|show)))\b/;

const PATIENCE_MS = 150_000;

for (const page of PAGES) {
  const blocks = readBlocks(page).filter((block) => isTerminal(block) && reasonNotRun(block) === undefined);
  if (blocks.length === 0) continue;
  test(`the commands of ${page} print what it shows`, onlyBun, async () => {
    await using stage = await Stage.open();
    await using scene = await prepare(page, stage);
    for (const { text } of blocks) {
      for (const step of stepsOf(text)) {
        scene.before?.(step.command);
        await perform(step, stage);
      }
    }
  });
}

/** Runs a command, repeatedly if it only reads, until it prints what the page shows. */
async function perform({ command, output }: Step, stage: Stage): Promise<void> {
  const deadlineMs = performance.now() + (LOOKS.test(command) ? PATIENCE_MS : 0);
  for (;;) {
    const { status, stdout } = await stage.run(command);
    if (status === 0 && (output === undefined || isAsShown(stdout, output))) return;
    if (performance.now() >= deadlineMs) {
      const errors = stage.errors.slice(-4_000);
      assert.fail(`$ ${command}\nended with ${status} and printed\n${stdout}\nnot\n${output}\n${errors}`);
    }
    await sleep(200); // each look starts a program
  }
}

function skipReason(): string | false {
  if (process.versions.bun === undefined) return "the pages' commands are Bun's: its suite runs them";
  const missing = ["curl", "openssl"].find((name) => spawnSync(name, ["version"]).error !== undefined);
  return missing !== undefined && `${missing} is not installed`;
}
