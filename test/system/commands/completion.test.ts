import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { ROOT } from "../../support/project.ts";
import { Spool } from "../../support/spool.ts";

/** How each shell is asked what it would complete a command line to. */
const ASK: Readonly<Record<string, (line: string) => string[]>> = {
  bash: (line) => [
    "-c",
    `source <(eventspool completion bash)
     COMP_WORDS=(${line.replace(/ $/, ' ""')}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
     _eventspool; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ],
  // zsh completes in its line editor only, so it is given one, on a terminal of its own.
  zsh: (line) => [
    "-fc",
    `zmodload zsh/zpty
     zpty -b shell zsh -f -i
     zpty -w shell "PS1= ; autoload -U compinit; compinit -u -D; source <(eventspool completion zsh)"
     zpty -w shell "zstyle ':completion:*' list-prompt ''; LISTMAX=9999"
     zpty -w shell 'lister() { zle list-choices; zle -R; print LISTED$((1 + 1)) }; zle -N lister; bindkey "^X" lister; print READY$((1 + 1))'
     zpty -r -m shell text '*READY2*' || exit 1
     zpty -n -w shell $'${line}\\x18'
     zpty -r -m shell text '*LISTED2*'; print -r -- $text`,
  ],
  fish: (line) => ["--no-config", "-c", `eventspool completion fish | source; complete -C '${line}'`],
};

for (const [shell, ask] of Object.entries(ASK)) {
  const isMissing = spawnSync(shell, ["--version"]).error !== undefined;
  test(`completes verbs, options and queues in ${shell}`, {
    skip: isMissing && `no ${shell} here`,
    timeout: 600_000,
  }, () => {
    using spool = new Spool();
    const bin = join(spool.directory, "bin");
    mkdirSync(bin);
    const command = join(bin, "eventspool");
    writeFileSync(
      command,
      `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, "src/commands/queue.ts")}' "$@"\n`,
    );
    chmodSync(command, 0o755);
    const env = {
      ...process.env,
      PATH: `${bin}:${process.env.PATH}`,
      EVENTSPOOL_DIR: spool.directory,
      HOME: spool.directory,
    };
    const complete = (line: string): string => {
      const { stdout, stderr } = spawnSync(shell, ask(line), { env, encoding: "utf8", cwd: spool.directory });
      return stripVTControlCharacters(`${stdout}${stderr}`);
    };
    assert.match(complete("eventspool de"), /\bdepth\b[\s\S]*|\bdead\b/);
    const dead = complete("eventspool dead ");
    for (const verb of ["list", "show", "retry", "purge", "export"])
      assert.match(dead, new RegExp(`\\b${verb}\\b`));
    const options = complete("eventspool depth --");
    for (const option of ["--watch", "--interval", "--json", "--help"])
      assert.ok(options.includes(option), options);
    assert.ok(!options.includes("--to"), "another verb's option");
    assert.match(complete("eventspool depth --queue-name "), /\bmain\b/);
  });
}
