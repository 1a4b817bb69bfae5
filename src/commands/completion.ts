/** `eventspool completion SHELL`: scripts that complete verbs and options, generated from the table of verbs. */
import { type Option, UsageError, type Verb } from "./queue/verb.ts";

type Verbs = Readonly<Record<string, Verb>>;

const SHELLS = { bash, zsh, fish } as const;

/** The verb. @param verbs the table, which has the verb itself, too */
export function completionOf(verbs: () => Verbs): Verb {
  return {
    summary: "print a script that completes verbs and options in a shell",
    args: Object.keys(SHELLS).join("|"),
    options: {},
    details: `It completes the command eventspool, which must be on the PATH.
bash: source <(eventspool completion bash), in ~/.bashrc
zsh: source <(eventspool completion zsh), in ~/.zshrc after compinit
fish: eventspool completion fish | source, in ~/.config/fish/config.fish`,
    examples: Object.keys(SHELLS),
    run({ args: [shell = "", ...rest], output }) {
      const script = Object.hasOwn(SHELLS, shell) ? SHELLS[shell as keyof typeof SHELLS] : undefined;
      if (script === undefined || rest.length > 0)
        throw new UsageError(`expected one shell: ${Object.keys(SHELLS).join(", ")}.`);
      for (const line of script(verbs()).trimEnd().split("\n")) output.line(line);
      return 0;
    },
  };
}

/** The words that may come first, and those that may follow one of them. */
function wordsOf(verbs: Verbs): { first: Map<string, string>; second: Map<string, Map<string, string>> } {
  const first = new Map<string, string>();
  const second = new Map<string, Map<string, string>>();
  for (const [name, { summary }] of Object.entries(verbs)) {
    const [word = "", sub] = name.split(" ");
    if (!first.has(word)) first.set(word, sub === undefined ? summary : `${word} ...`);
    if (sub !== undefined) second.set(word, (second.get(word) ?? new Map()).set(sub, summary));
  }
  return { first, second };
}

/** The options of a verb, with `--help`. */
function optionsOf({ options }: Verb): [name: string, option: Option][] {
  return [...Object.entries(options), ["help", { type: "boolean", short: "h", help: "print its help" }]];
}

/** The names of the queues in the directory that the command line names, or in the default one. */
const QUEUES = (list: string) => `${list} --json 2>/dev/null | grep -o '"queue":"[^"]*"' | cut -d'"' -f4`;

function bash(verbs: Verbs): string {
  const { first, second } = wordsOf(verbs);
  const cases = Object.entries(verbs).map(
    ([name, verb]) =>
      `    "${name}") options="${optionsOf(verb)
        .map(([option]) => `--${option}`)
        .join(" ")}" ;;`,
  );
  const groups = [...second].map(
    ([word, subs]) =>
      `    ${word}) [ "$COMP_CWORD" -eq 2 ] && words="${[...subs.keys()].join(" ")}"; verb="${word} \${COMP_WORDS[2]}" ;;`,
  );
  return `# bash completion of eventspool
_eventspool() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} verb=\${COMP_WORDS[1]} words= options=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${[...first.keys()].join(" ")} --help --version" -- "$word"))
    return
  fi
  case $before in
    ${flagsThat(verbs, "queue").join("|")}) COMPREPLY=($(compgen -W "$(${QUEUES('"$COMP_WORDS" list')})" -- "$word")); return ;;
    ${flagsThat(verbs, "directory").join("|")}) COMPREPLY=($(compgen -d -- "$word")); return ;;
    ${flagsThat(verbs, "file").join("|")}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case $verb in
${groups.join("\n")}
    completion) words="${Object.keys(SHELLS).join(" ")}" ;;
  esac
  case $verb in
${cases.join("\n")}
  esac
  if [[ $word == -* ]]; then words=$options; fi
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$word")); else COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -o filenames -F _eventspool eventspool
`;
}

/** The options whose values are of a kind, in any verb. */
function flagsThat(verbs: Verbs, completes: Option["completes"]): string[] {
  const all = Object.values(verbs).flatMap((verb) => optionsOf(verb));
  return [
    ...new Set(all.filter(([, option]) => option.completes === completes).map(([name]) => `--${name}`)),
  ];
}

function zsh(verbs: Verbs): string {
  const { first, second } = wordsOf(verbs);
  const describe = (words: Map<string, string>): string =>
    [...words].map(([word, summary]) => quoted(`${word}:${summary}`)).join(" ");
  const groups = [...second].map(
    ([word, subs]) =>
      `    ${word}) if (( CURRENT == 3 )); then local -a subs=(${describe(subs)}); _describe -t verbs verb subs; fi; verb="$verb $words[3]"; skip=2 ;;`,
  );
  const cases = Object.entries(verbs).map(
    ([name, verb]) => `    ${quoted(name)}) specs=(${optionsOf(verb).map(zshSpec).join(" ")}) ;;`,
  );
  return `#compdef eventspool
# zsh completion of eventspool
_eventspool_queues() { compadd -- $(${QUEUES("eventspool list")}) }
_eventspool() {
  local verb=$words[2] skip=1
  local -a verbs specs
  if (( CURRENT == 2 )); then
    verbs=(${describe(first)})
    _describe -t verbs verb verbs
    return
  fi
  case $verb in
${groups.join("\n")}
    completion) compadd -- ${Object.keys(SHELLS).join(" ")}; return ;;
  esac
  case $verb in
${cases.join("\n")}
  esac
  shift skip words
  (( CURRENT -= skip ))
  (( CURRENT > 1 )) && _arguments -S $specs '*:file:_files'
}
compdef _eventspool eventspool
`;
}

const ZSH_ACTIONS = { file: "_files", directory: "_files -/", queue: "_eventspool_queues" } as const;

function zshSpec([name, { type, value, help, completes }]: [string, Option]): string {
  const about = help.replaceAll(/[[\]:]/g, (char) => `\\${char}`);
  const argument =
    type === "boolean"
      ? ""
      : `:${value ?? "value"}:${completes === undefined ? " " : ZSH_ACTIONS[completes]}`;
  return quoted(`--${name}[${about}]${argument}`);
}

function fish(verbs: Verbs): string {
  const { first, second } = wordsOf(verbs);
  const line = (condition: string, rest: string): string =>
    `complete -c eventspool -n ${quoted(condition)} ${rest}`;
  const firstLines = [...first].map(([word, summary]) =>
    line("__fish_use_subcommand", `-f -a ${word} -d ${quoted(summary)}`),
  );
  const secondLines = [...second].flatMap(([word, subs]) =>
    [...subs].map(([sub, summary]) =>
      line(
        `__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${[...subs.keys()].join(" ")}`,
        `-f -a ${sub} -d ${quoted(summary)}`,
      ),
    ),
  );
  const optionLines = Object.entries(verbs).flatMap(([name, verb]) => {
    const seen = name
      .split(" ")
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join("; and ");
    return optionsOf(verb).map((option) => line(seen, fishOption(option)));
  });
  return `# fish completion of eventspool
function __eventspool_queues
  ${QUEUES("eventspool list")}
end
${[...firstLines, ...secondLines, line("__fish_seen_subcommand_from completion", `-f -a ${quoted(Object.keys(SHELLS).join(" "))}`), ...optionLines].join("\n")}
`;
}

const FISH_ARGUMENTS = {
  file: "-r -F",
  directory: "-r -f -a '(__fish_complete_directories)'",
  queue: "-r -f -a '(__eventspool_queues)'",
} as const;

function fishOption([name, { type, short, help, completes }]: [string, Option]): string {
  const argument =
    type === "boolean" ? "" : completes === undefined ? " -r -f" : ` ${FISH_ARGUMENTS[completes]}`;
  return `-l ${name}${short === undefined ? "" : ` -s ${short}`}${argument} -d ${quoted(help)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
