/**
 * The page of the configuration file.
 *
 * @module
 */
import { basename } from "node:path";
import { type ConfigKey, configKeysOf } from "./config_keys.ts";
import type { DocModule, DocSymbol } from "./deno_doc.ts";
import { GENERATED } from "./entry_page.ts";
import type { Links } from "./links.ts";
import { paragraphs, table } from "./markdown.ts";

const PAGE = "configuration.md";

/** What the kinds of values are, by the function of `src/config` whose docstring tells. */
const KINDS: Readonly<Record<string, readonly [file: string, name: string]>> = {
  duration: ["src/config/parsers.ts", "durationMsIn"],
  size: ["src/config/parsers.ts", "bytesIn"],
  percentage: ["src/config/parsers.ts", "parseShare"],
  "file mode": ["src/config/parsers.ts", "parseFileMode"],
  "whole number": ["src/config/parsers.ts", "parseInteger"],
  address: ["src/config/addresses.ts", "parseListenAddress"],
  secret: ["src/config/secret.ts", "parseSecret"],
};

/** The keys that baseplate.py has, in `baseplate/sidecars/event_publisher.py` and `baseplate/lib/metrics.py`. */
const BASEPLATE_KEYS =
  /^(?:collector\.(?:hostname|version|scheme)|key\.(?:name|secret)|max_queue_size|metrics\.(?:namespace|endpoint|log_if_unconfigured|swallow_network_errors))$/;

const INTRO = `The same keys in INI, as baseplate.py reads it, or in TOML, in a file whose name ends in \`.toml\`:

\`\`\`ini
[event-publisher:main]
collector.hostname = events.example.com
key.name = web-1
key.secret = $EVENTS_KEY_SECRET
batch.max_age = 500ms
\`\`\`

\`\`\`toml
[event-publisher.main]
collector.hostname = "events.example.com"
key.name = "web-1"
key.secret = "$EVENTS_KEY_SECRET"
batch.max_age = "500ms"
\`\`\`

\`$NAME\` and \`\${NAME}\` stand for the environment's values; one that is not set is an error. A key that nobody knows is \
warned about. How [values](#values) are written stands at the end. "ours": baseplate.py does not have the key; the others mean \
what they mean there.`;

/** The page, as Markdown. */
export function configPage(docs: ReadonlyMap<string, DocModule>, links: Links): string {
  const sections = configTypes(docs).map(([program, file, type]) =>
    configSection(program, docs.get(file)!, configKeysOf(type, docs), links),
  );
  return paragraphs(GENERATED, "# Configuration", INTRO, ...sections, valuesSection(docs, links));
}

/** The configurations: what each `parsePROGRAMConfig` of `src/config/PROGRAM_config.ts` gives; the publisher's first. */
function configTypes(
  docs: ReadonlyMap<string, DocModule>,
): [program: string, file: string, type: DocSymbol][] {
  return [...docs]
    .flatMap(([file, { symbols }]): [string, string, DocSymbol][] => {
      const [, program] = /^(\w+)_config$/.exec(basename(file, ".ts")) ?? [];
      const name = program && `${program[0]!.toUpperCase()}${program.slice(1)}Config`;
      const type = symbols.find((symbol) => symbol.name === name);
      const isRead = symbols.some((symbol) => symbol.name === `parse${name}`);
      return program !== undefined && type !== undefined && isRead ? [[program, file, type]] : [];
    })
    .sort(([a], [b]) => Number(b === "publisher") - Number(a === "publisher") || (a < b ? -1 : 1));
}

function configSection(program: string, module: DocModule, keys: readonly ConfigKey[], links: Links): string {
  const hasOthers = keys.some((row) => row.keys.some((key) => BASEPLATE_KEYS.test(key)));
  const head = ["key", "value", "default", "meaning"];
  return paragraphs(
    `## The ${program}`,
    links.text(module.doc.doc, { page: PAGE }),
    table(
      hasOthers ? [...head, ""] : head,
      keys.map((row) => [...cells(row, links), ...(hasOthers ? [oursIn(row)] : [])]),
    ),
  );
}

function cells({ keys, kind, meaning, fallback }: ConfigKey, links: Links): string[] {
  return [codes(keys), kind, fallback, links.text(meaning, { page: PAGE })];
}

/** Which of a row's keys baseplate.py does not have, where it has others. */
function oursIn({ keys }: ConfigKey): string {
  const ours = keys.filter((key) => !BASEPLATE_KEYS.test(key));
  if (ours.length === 0) return "";
  return ours.length === keys.length ? "ours" : `ours: ${codes(ours)}`;
}

function codes(keys: readonly string[]): string {
  return keys.map((key) => `\`${key}\``).join(", ");
}

function valuesSection(docs: ReadonlyMap<string, DocModule>, links: Links): string {
  const rows = Object.entries(KINDS).map(([kind, [file, name]]) => {
    const symbol = docs.get(file)?.symbols.find((each) => each.name === name);
    if (symbol === undefined) throw new Error(`${file} has no ${name}: see scripts/reference/config_page.ts`);
    return [kind, links.text(symbol.declarations[0]?.jsDoc?.doc, { page: PAGE })];
  });
  return paragraphs("## Values", table(["value", "how it is written"], rows));
}
