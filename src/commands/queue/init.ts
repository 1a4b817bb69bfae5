import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { ConfigurationError } from "../../errors.ts";
import { codeOrMessage } from "../../file_error.ts";
import { shellQuoted } from "../../format.ts";
import { checkQueueName } from "../../storage/locations.ts";
import { type Call, hint, QUEUE, UsageError, type Verb } from "./verb.ts";

const DEFAULT_FILE = "eventspool.ini";

/** How long a new key is, in bytes: as long as the signature's hash. */
const KEY_BYTES = 32;

/** `eventspool init` */
export const init: Verb = {
  summary: "write a configuration with a new key, and print a matching service",
  args: "[FILE]",
  options: { "queue-name": QUEUE["queue-name"]! },
  details: `FILE defaults to ${DEFAULT_FILE}. Only its owner can read it (mode 0600). An existing file is never overwritten.`,
  examples: ["", "publisher.ini --queue-name audit"],
  run(call: Call): number {
    const [path = DEFAULT_FILE, ...rest] = call.args;
    if (rest.length > 0) throw new UsageError(`expected one file, got ${call.args.join(" and ")}.`);
    const queue = checkQueueName(call.queue);
    const secret = randomBytes(KEY_BYTES).toString("base64");
    write(path, configFor(queue, secret));
    for (const line of nextSteps(call, { path, queue, secret })) call.output.line(line);
    return 0;
  },
};

function write(path: string, text: string): void {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem =
      code === "EEXIST"
        ? `${path} exists, and is not overwritten: name another file, or remove it.`
        : `cannot create ${path} (${codeOrMessage(cause)}): choose a file in a directory that this user may write to.`;
    throw new ConfigurationError(problem, {}, { cause });
  }
  try {
    writeSync(file, text);
  } finally {
    closeSync(file);
  }
}

function configFor(queue: string, secret: string): string {
  return `# The publisher of queue ${queue}, and a collector to try it with. All keys: docs/configuration.md of eventspool.
# A relative path is relative to this file. $NAME is replaced by an environment variable.

[event-publisher:${queue}]
# Where events are sent: host[:port][/path].
collector.hostname = 127.0.0.1:9800
# Use http only within one machine: the default is https.
collector.scheme = http
# 2j: plain JSON, as serializeJsonEvent writes it. 2: Thrift structs in JSON, as serializeV2Event does.
collector.version = 2j

# The key that signs requests, new and random. The collector needs the same, as key.${queue} below.
# Better in a file of its own: key.secret_file = ${queue}.key
key.name = ${queue}
key.secret = ${secret}

# How many events may wait. At this number put throws.
max_queue_size = 10000

# The directory of the queue file, the same for service and publisher.
# Default: $EVENTSPOOL_DIR, else ~/.local/state/eventspool.
# queue.directory = /var/lib/eventspool

# Where the dashboard, /health and /metrics are served: host:port, the path of a unix socket, or off.
admin.listen = 127.0.0.1:9900

[event-collector]
listen = 127.0.0.1:9800
key.${queue} = ${secret}
# Events are appended to this file, one JSON text per line.
output = events.jsonl
`;
}

function nextSteps(
  call: Call,
  { path, queue, secret }: { path: string; queue: string; secret: string },
): string[] {
  const file = shellQuoted(path);
  return `Wrote ${path}.

A matching service, service.mjs:

  import { EventQueue, serializeJsonEvent } from "eventspool";

  const events = new EventQueue("${queue}", serializeJsonEvent);
  events.put({ action: "signup", user: "u1" });
  events.close(); // when the service ends

Collect and publish, each in a terminal:

  ${call.program} collector ${file}
  ${hint(call, `publisher ${file}`)}

On another machine, the collector's configuration needs this key:

  [event-collector]
  key.${queue} = ${secret}`.split("\n");
}
