import type { DocBlock } from "../../support/doc_page.ts";

/** The pages whose TypeScript is a program, which a test runs. On other pages it is a fragment, which is compiled. */
export const PROGRAM_PAGES: readonly string[] = [
  "README.md",
  "docs/cookbook.md",
  "docs/destinations.md",
  "docs/frameworks.md",
  "docs/moving-from-segment.md",
  "docs/scale.md",
  "docs/service.md",
  "docs/testing.md",
  "docs/typed-events.md",
  "docs/tutorial.md",
];

/** The blocks that no test runs, by page and first line, each with the reason. */
const NOT_RUN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "README.md": {
    " your service               events-main.db             publisher                      collector":
      "it is a drawing",
    "npx --yes bun@1.4.4 run tarball":
      "test/system/package/install.test.ts packs, and installs under the three runtimes",
    "npx --yes bun@1.4.4 run demo":
      "test/system/examples/demo.test.ts runs the demo; the other is these tests",
  },
  "docs/collector.md": {
    "[event-collector]":
      "its paths are those of a server: test/unit/config/collector_config.test.ts has its keys",
  },
  "docs/dashboard.md": {
    '{"@timestamp":"2026-11-25T11:10:41.406Z","level":"INFO","message":"Put 1 dead letters back into the queue","logger":"eventspool.publisher","properties":{"retriedCount":1}}':
      "it is a line of the log",
    "$ curl -i localhost:9900/events":
      "it takes sixteen open pages: test/runtime/admin/dashboard_live.test.ts has them",
  },
  "docs/install.md": {
    "bun run tarball": "test/system/package/install.test.ts packs",
    "bun add ../eventspool/eventspool.tgz     # or: npm install ../eventspool/eventspool.tgz":
      "test/system/package/install.test.ts installs",
    "deno run -A npm:npm install ../eventspool/eventspool.tgz":
      "it downloads npm: test/system/package/install.test.ts installs the package for Deno",
    "bun --no-install --no-env-file --config=/dev/null node_modules/eventspool/dist/commands/publisher.js --queue-name main config.ini":
      "test/system/deploy/foreign_directory.test.ts starts it in a directory of somebody else",
    "deno run --allow-env=EVENTSPOOL_DIR --allow-read=$EVENTSPOOL_DIR --allow-write=$EVENTSPOOL_DIR \\":
      "test/system/docs/deno.test.ts runs it",
    "deno run --allow-env=EVENTSPOOL_DIR --allow-read=config.ini,$EVENTSPOOL_DIR --allow-write=$EVENTSPOOL_DIR \\":
      "its collector has a name: test/system/package/install.test.ts runs a publisher with such permissions",
    "$ bun run build:binary": "test/system/package/single_file.test.ts builds one and runs it",
  },
  "docs/jetstream.md": {
    "nats stream add EVENTS --subjects='events.>' --storage=file --replicas=3 \\":
      "it needs the nats command",
    "fault                                rounds    put  delivered  duplicates  dead  lost  seconds":
      "test/system/faults/jetstream.ts kills a few, and bun run faults all",
    "permissions {":
      "it is nats-server's configuration: test/runtime/nats/login.test.ts runs a server with it",
    "$ bun run publisher config.ini":
      "it needs a nats-server: test/runtime/nats/nats_publisher_failures.test.ts has the message",
  },
  "docs/metrics.md": {
    "scrape_configs:": "it is Prometheus' configuration",
    "$ curl -s localhost:9900/metrics | grep -E '^eventspool_(queue_depth|failing|requests|put_events|put_to_accepted_seconds_[cs])'":
      "its figures are of a long run: test/system/deploy/prometheus.test.ts compares the tables of the page",
    "$ promtool test rules deploy/prometheus/alerts_test.yml":
      "test/system/deploy/prometheus.test.ts runs it, if promtool is installed",
  },
  "docs/operating.md": {
    "$ bun run queue check --deep":
      "it takes a damaged file: test/runtime/commands/queue/salvage.test.ts has one",
    "$ bun run queue adopt /mnt/old-pod/eventspool config.ini":
      "it takes a killed publisher: test/system/commands/adopt.test.ts has one",
  },
  "docs/outbox.md": {
    "[event-publisher:main]": "a part of a file: the rest is as in the README",
    "$ bun run queue peek --file shop.db": "test/runtime/commands/outbox.test.ts has it",
  },
  "docs/production.md": {
    "# The user, the group, and the directories of queues and configuration:":
      "test/system/deploy/production.test.ts runs it, on a machine of its own",
    "install -D -m 0644 deploy/systemd/service-drop-in.conf /etc/systemd/system/YOUR-SERVICE.service.d/eventspool.conf":
      "test/system/deploy/production.test.ts runs it, on a machine of its own",
    "systemd-run --wait --pipe --quiet -p User=eventspool -p LoadCredential=key:/etc/eventspool/main.key -E STATE_DIRECTORY=/var/lib/eventspool /usr/local/bin/bun /opt/eventspool/src/commands/publisher.ts --check /etc/eventspool/publisher.ini":
      "test/system/deploy/production.test.ts runs it, on a machine of its own",
  },
  "docs/scale.md": {
    "$ bun run demo:cluster": "test/system/examples/demo.test.ts runs it",
    "server_name: nats-1":
      "it is nats-server's configuration: test/system/docs/scale.test.ts runs three with it",
    "$ NATS_SERVERS=127.0.0.1:4222 STREAM=EVENTS ROLLUP_DB=rollup.db bun examples/rollup.ts":
      "test/system/examples/rollup.test.ts runs it",
  },
  "docs/sinks.md": {
    "$ ls": "a megabyte of events has come: test/unit/collector/sinks/jsonl.test.ts rotates files",
    "$ cat events.jsonl.journal":
      "its UUID differs each time: test/unit/collector/sinks/jsonl.test.ts reads journals",
    "CREATE TABLE event (": "test/unit/collector/sinks/sqlite.test.ts looks at the columns",
    "$ sqlite3 -readonly events.db \"SELECT body ->> 'action', count(*) FROM event GROUP BY 1\"":
      "it needs sqlite3's own program",
  },
};

/** Why a block is not run, if it is not. */
export function reasonNotRun({ page, text }: DocBlock): string | undefined {
  return NOT_RUN[page]?.[text.split("\n")[0]!];
}

/** All entries of the list, as `page: first line`. */
export function notRun(): string[] {
  return Object.entries(NOT_RUN).flatMap(([page, lines]) =>
    Object.keys(lines).map((line) => `${page}: ${line}`),
  );
}
