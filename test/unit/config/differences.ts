/**
 * Where eventspool's reading of a publisher's configuration differs from baseplate.py's on purpose.
 * docs/moving-from-baseplate.md lists the same.
 */
import { iniOf as sectionOf } from "../../support/config.ts";

/** A configuration that baseplate.py takes, and eventspool rejects. */
export interface Difference {
  /** What is rejected, and why. */
  readonly reason: string;
  /** The key that the error names; absent where it is about no key. */
  readonly key?: string;
  /** Settings that show it, over those of {@link MINIMAL}. */
  readonly settings: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly queueName?: string;
  /** The case of vectors/config.json that shows it too. */
  readonly vector?: string;
}

/** The settings that must be there. */
export const MINIMAL: Readonly<Record<string, string>> = {
  "collector.hostname": "c.example",
  "key.name": "K",
  "key.secret": "aHVudGVyMiBoYXMgYSBsb25nIHNlY3JldA==",
};

const SCHEME = "a scheme other than http and https: baseplate.py starts, and can never send";
const BASE64 =
  "a key that is not plainly Base64: baseplate.py passes over what it does not know, and signs with another key";
const EMPTY_KEY = "a key without a byte: baseplate.py signs with it, and anyone could";
const UNSET = "a variable that is not set: baseplate.py takes its name for the value";
const NOT_A_HOST = "a hostname that is more than host[:port][/path]: baseplate.py pastes it into the URL";
const CAP = "a row cap below 1: POSIX message queues reject it, so baseplate.py fails a moment later";
const DIGITS = "digits and white space beyond ASCII in a number";
const QUEUE = "a queue name that is not safe in a file's name";
const KEY_NAME = "a key name that is not valid in an HTTP header: baseplate.py starts, and can never send";
const NAMESPACE = "a control character in a metric's name: statsd would read other packets";
const SOCKET = "statsd on a unix socket: Bun, Deno and Node have no unix datagrams";
const PORT = "a port that nothing can listen on";

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: SCHEME,
    key: "collector.scheme",
    settings: { "collector.scheme": "ftp" },
    vector: "scheme_garbage",
  },
  { reason: SCHEME, key: "collector.scheme", settings: { "collector.scheme": "https://" } },
  {
    reason: BASE64,
    key: "key.secret",
    settings: { "key.secret": "a!H@V#u$d%G&V*yMg==" },
    vector: "secret_junk_chars_ignored",
  },
  { reason: BASE64, key: "key.secret", settings: { "key.secret": "aHVudGVyMg== ; no comment" } },
  {
    reason: BASE64,
    key: "key.secret",
    settings: { "key.secret": "-_-_" },
    vector: "secret_urlsafe_alphabet",
  },
  { reason: BASE64, key: "key.secret", settings: { "key.secret": "aGk=aGk=" } },
  { reason: EMPTY_KEY, key: "key.secret", settings: { "key.secret": "====" } },
  {
    reason: UNSET,
    key: "key.secret",
    settings: { "key.secret": "$ORACLESECRETXY12" },
    vector: "env_missing_secret_16chars_silently_wrong_key",
  },
  { reason: UNSET, key: "collector.hostname", settings: { "collector.hostname": "$NOPE" } },
  { reason: UNSET, key: "collector.scheme", settings: { "collector.scheme": "$NOPE" } },
  { reason: UNSET, key: "metrics.endpoint", settings: { "metrics.endpoint": "$NOPE:8125" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "https://c.example" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "user:pw@c.example" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example/?a=b" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example#a" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example c" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example\\a" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "/prefix" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example:" } },
  { reason: NOT_A_HOST, key: "collector.hostname", settings: { "collector.hostname": "c.example:99999" } },
  { reason: CAP, key: "max_queue_size", settings: { max_queue_size: "0" }, vector: "max_queue_size_0" },
  { reason: CAP, key: "max_queue_size", settings: { max_queue_size: "-1" }, vector: "max_queue_size_neg" },
  { reason: DIGITS, key: "max_queue_size", settings: { max_queue_size: "１００" } },
  { reason: DIGITS, key: "max_queue_size", settings: { max_queue_size: "$N" }, env: { N: "\u2003100" } },
  { reason: QUEUE, settings: {}, queueName: "a/b", vector: "queue_name_with_slash" },
  { reason: QUEUE, settings: {}, queueName: ".hidden" },
  { reason: QUEUE, settings: {}, queueName: "a b" },
  { reason: QUEUE, settings: {}, queueName: "é" },
  { reason: QUEUE, settings: {}, queueName: "x".repeat(101) },
  { reason: QUEUE, settings: {}, queueName: "" },
  { reason: KEY_NAME, key: "key.name", settings: { "key.name": "K\n  next" } },
  { reason: KEY_NAME, key: "key.name", settings: { "key.name": "鍵" } },
  { reason: NAMESPACE, key: "metrics.namespace", settings: { "metrics.namespace": "a\n  b" } },
  { reason: SOCKET, key: "metrics.endpoint", settings: { "metrics.endpoint": "/run/statsd.sock" } },
  { reason: PORT, key: "metrics.endpoint", settings: { "metrics.endpoint": "127.0.0.1:0" } },
];

/** An INI file of the minimal settings and those given. */
export function iniOf(settings: Readonly<Record<string, string>>, queueName = "main"): string {
  return sectionOf(`event-publisher:${queueName}`, { ...MINIMAL, ...settings });
}
