/**
 * How services are reached over HTTP: the keys that `destination = collector` and `destination = http` have in common,
 * and those of the latter.
 */
import { ConfigurationError } from "../errors.ts";
import type { ConfigSection } from "./config_section.ts";
import {
  checkExposedSecret,
  parseSecret,
  readSecret,
  readTlsFiles,
  Secret,
  type TlsFiles,
} from "./credentials.ts";
import { durationMsIn, integerIn, oneOf, optional, parseText, quote } from "./parsers.ts";

/**
 * How long one POST may take, connect to last byte of the answer, in milliseconds. baseplate.py
 * gives up after 3 s and sends again, which a slow collector sees as twice the load.
 */
export const DEFAULT_HTTP_TIMEOUT_MS = 10_000;

/** How a service is reached over HTTP. */
export interface HttpTransportConfig {
  /** `collector.timeout`, `http.timeout` (ours): how long a request may take, in milliseconds. Default: 10 s. */
  readonly timeoutMs: number;
  /**
   * `collector.proxy`, `http.proxy` (ours), or what the file `collector.proxy_file`, `http.proxy_file` holds: the URL of
   * an HTTP proxy, or `environment` for those that `http_proxy`, `https_proxy` and `no_proxy` name. Default: none,
   * whatever the environment says.
   */
  readonly proxy: Secret | "environment" | undefined;
  /**
   * `collector.tls_ca_file`, `collector.tls_cert_file`, `collector.tls_key_file`, `http.tls_ca_file`,
   * `http.tls_cert_file`, `http.tls_key_file` (ours): the trusted authorities, and the certificate and key that the other
   * side asks for, in PEM. Default: the authorities that the runtime trusts, and no certificate.
   */
  readonly tls: TlsFiles | undefined;
}

/** Reads the keys behind `prefix`, such as `http.`. @throws {ConfigurationError} */
export function readHttpTransport(section: ConfigSection, prefix: string, url: string): HttpTransportConfig {
  if (isExposed(url))
    section.warn(
      prefix === "http." ? "http.url" : `${prefix}scheme`,
      "events are sent unencrypted to another machine: use https",
    );
  const timeout = durationMsIn({ min: 1 });
  const timeoutMs = section.readOptional(`${prefix}timeout`, timeout, DEFAULT_HTTP_TIMEOUT_MS);
  const proxy = readSecret(section, `${prefix}proxy`, optional(parseProxy, undefined));
  const tls = readTlsFiles(section, prefix);
  if (tls !== undefined && new URL(url).protocol === "http:")
    throw section.error(
      prefix === "http." ? "http.url" : `${prefix}scheme`,
      `is http, and ${prefix}tls_* are for https: leave one of them out`,
    );
  return { timeoutMs, proxy, tls };
}

/** The message never shows the value: it may hold a password. */
function parseProxy(text: string): Secret | "environment" {
  if (text === "environment") return text;
  if (/^https?:\/\/[^/?#]+\/?$/i.test(text) && URL.canParse(text)) return new Secret(Buffer.from(text));
  throw new ConfigurationError("expected http://[user:password@]host:port, or environment");
}

const LOOPBACK_HOST = /^(?:localhost|.+\.localhost|127(?:\.\d+){3}|\[::1\])$/;

/** Whether what is sent to the URL can be read on its way over a network: plain http to another machine. */
function isExposed(url: string): boolean {
  return new URL(url).protocol === "http:" && !isLoopback(url);
}

export function isLoopback(url: string): boolean {
  return LOOPBACK_HOST.test(new URL(url).hostname);
}

/** How requests say who sends them. */
export type HttpAuth =
  | { readonly kind: "none" }
  | { readonly kind: "bearer"; readonly token: Secret }
  | { readonly kind: "basic"; readonly user: Secret; readonly password: Secret }
  | { readonly kind: "standard-webhooks"; readonly secret: Secret };

/** How a batch is written. In each text `{queue}` is the queue's name. */
export interface BodyTemplate {
  /** What is before the events. */
  readonly before: string;
  /** An event: `{event}` is its JSON, `{event_string}` the same as a JSON string, `{id}` its id, `{put_at_s}` and `{put_at_ms}` when it was put. */
  readonly event: string;
  /** What is between two events. */
  readonly between: string;
  /** What is after the events. */
  readonly after: string;
}

/** `destination = http`: any service that takes events over HTTP. All keys are ours. */
export interface HttpDestinationConfig extends HttpTransportConfig {
  /** Always `http`. */
  readonly kind: "http";
  /**
   * `http.url`, or what the file `http.url_file` holds: where batches are POSTed, with a query or without. Required.
   */
  readonly url: string;
  /**
   * What logs, metrics and pages show of the URL: no query, and no part of the path that may be a secret. Of a URL from a
   * file only the host.
   */
  readonly shownUrl: string;
  /**
   * `http.header.NAME`, or what the file `http.header.NAME_file` holds: a header of each request. Default: `Content-Type`
   * is `application/x-ndjson` or `application/json`, as `http.body` says.
   */
  readonly headers: Readonly<Record<string, Secret>>;
  /** `http.body`: `ndjson`, one event per line; `json_array`; or `template`. Default: `ndjson`. */
  readonly bodyKind: "ndjson" | "json_array" | "template";
  /**
   * `http.template.before`, `http.template.event`, `http.template.between`, `http.template.after`: the texts that make a
   * body, with `\n`, `\t` and `\\` for a line feed, a tab and a backslash. In each, `{queue}` is the queue's name; in
   * `http.template.event`, `{event}` is the event's JSON, `{event_string}` the same as a JSON string, `{id}` the
   * event's id, the same on each attempt, and `{put_at_s}` or `{put_at_ms}` when it was put, in Unix seconds or
   * milliseconds. Default: `{event}`, and nothing around it.
   */
  readonly body: BodyTemplate;
  /**
   * How a request says who sends it, made of:
   *
   * - `http.auth`: `none`, `bearer`, `basic` or `standard-webhooks`. Default: `none`.
   * - `http.token`, or what the file `http.token_file` holds: the token of `bearer`.
   * - `http.user` and `http.password`, or what the files `http.user_file` and `http.password_file` hold: those of
   *   `basic`. Some services leave one of them empty.
   * - `http.secret`, or what the file `http.secret_file` holds: the key of `standard-webhooks`, as `whsec_BASE64`.
   */
  readonly auth: HttpAuth;
  /**
   * `http.compression`: `gzip`, or zstd once the service has said `Accept-Encoding: zstd` in a response; or `none`.
   * Default: `gzip`, and `none` for `http.auth = standard-webhooks`, which signs the bytes that the receiver sees.
   */
  readonly compression: "gzip" | "none";
  /**
   * `http.response`: what accepts a batch, in addition to the status. `status`: nothing more, but a web page and a body that
   * reports a failure do not; `any`: any body but a web page, for a service that sends the events back; `clickhouse`: an
   * empty body, and errors by their codes; `elasticsearch`: each event's status in the response to a bulk request; `otlp`: no
   * rejected records in the response. Default: `status`.
   */
  readonly response: "status" | "any" | "clickhouse" | "elasticsearch" | "otlp";
  /** `http.accepted_statuses`: the statuses that accept a batch, separated by commas. Default: 2xx without 205 to 208 and 226. */
  readonly acceptedStatuses: readonly number[] | undefined;
  /**
   * `http.rejected_statuses`: the statuses that reject events, separated by commas: the batch is halved down to the event at
   * fault, which becomes a dead letter. All others are sent again, forever. Default: 400, 413, 422.
   */
  readonly rejectedStatuses: readonly number[];
}

const REJECTED_STATUSES: readonly number[] = [400, 413, 422];

const RESPONSES = ["status", "any", "clickhouse", "elasticsearch", "otlp"] as const;

const BODY_KINDS = ["ndjson", "json_array", "template"] as const;

const BODIES: Readonly<Record<"ndjson" | "json_array", BodyTemplate>> = {
  ndjson: { before: "", event: "{event}\n", between: "", after: "" },
  json_array: { before: "[", event: "{event}", between: ",", after: "]" },
};

/** Reads `destination = http`. @throws {ConfigurationError} */
export function readHttpDestination(section: ConfigSection): HttpDestinationConfig {
  const { url, shownUrl } = readUrl(section);
  warnOfLoss(section, url);
  const auth = readAuth(section, url);
  const isSigned = auth.kind === "standard-webhooks";
  const usual = isSigned ? "none" : "gzip";
  const compression = section.readOptional("http.compression", oneOf("gzip", "none"), usual);
  if (isSigned && compression !== "none")
    throw section.error("http.compression", "must be none: standard-webhooks signs the bytes that are sent");
  const acceptedStatuses = section.readOptional("http.accepted_statuses", parseStatuses);
  const rejectedStatuses = section.readOptional("http.rejected_statuses", parseStatuses, REJECTED_STATUSES);
  const both = rejectedStatuses.find((status) => acceptedStatuses?.includes(status));
  if (both !== undefined)
    throw section.error("http.rejected_statuses", `has ${both}, which http.accepted_statuses has, too`);
  return {
    kind: "http",
    url,
    shownUrl,
    ...readHttpTransport(section, "http.", url),
    headers: readHeaders(section),
    ...readBody(section),
    auth,
    compression,
    response: section.readOptional("http.response", oneOf(...RESPONSES), "status" as const),
    acceptedStatuses,
    rejectedStatuses,
  };
}

/** Settings of ClickHouse with which it accepts events that it does not store. */
const LOSSY_SETTINGS: ReadonlyMap<string, readonly [isLossy: RegExp, problem: string]> = new Map([
  ["wait_for_async_insert", [/^(?:0|false)$/, "events are accepted before they are stored"]],
  ["input_format_allow_errors_num", [/[1-9]/, "events that cannot be read are skipped without an error"]],
  ["input_format_allow_errors_ratio", [/[1-9]/, "events that cannot be read are skipped without an error"]],
]);

function warnOfLoss(section: ConfigSection, url: string): void {
  for (const [name, value] of new URL(url).searchParams) {
    const [isLossy, problem] = LOSSY_SETTINGS.get(name) ?? [];
    if (isLossy?.test(value))
      section.warn("http.url", `has ${name}=${value}: ${problem}, and may be lost: leave it out`);
  }
}

/** The whole URL from a file is a secret, else what looks like one. */
function readUrl(section: ConfigSection): Pick<HttpDestinationConfig, "url" | "shownUrl"> {
  if (section.has("http.url_file")) {
    const url = readSecret(section, "http.url", parseUrl);
    return { url, shownUrl: `${new URL(url).origin}/[redacted]` };
  }
  const url = section.read("http.url", parseUrl);
  const shownUrl = withoutSecrets(url);
  if (shownUrl.includes("/[redacted]")) readSecret(section, "http.url", parseUrl); // so that others may not read the file
  return { url, shownUrl };
}

/** The message never shows the value: it may hold a secret. */
function parseUrl(text: string): string {
  if (parseText(text) && /^https?:\/\/[^/?#]/i.test(text) && URL.canParse(text)) {
    const { username, password, hash, href } = new URL(text);
    if (username !== "" || password !== "")
      throw new ConfigurationError("has a user or a password: use http.auth = basic");
    if (hash === "") return href;
  }
  throw new ConfigurationError("expected https://host[:port][/path][?query]");
}

/** Words and numbers, such as `v1`, `_bulk` or `events-2026`: a secret does not look like that. */
const PUBLIC_PART = /^(?:(?:[A-Za-z]?[a-z]{0,14}\d{0,4}|\d{1,8})(?:[-_.:]|$))*$/;

function withoutSecrets(url: string): string {
  const { origin, pathname, search } = new URL(url);
  const parts = pathname.split("/").map((part) => (PUBLIC_PART.test(part) ? part : "[redacted]"));
  return `${origin}${parts.join("/")}${search && "?[redacted]"}`;
}

function parseStatuses(text: string): readonly number[] {
  return text.split(",").map((status) => integerIn({ min: 200, max: 599 })(status));
}

/** A token of HTTP (RFC 9110, 5.6.2). */
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;

/** Those that are made for each request. */
const OWN_HEADERS =
  /^(?:connection|content-encoding|content-length|host|idempotency-key|keep-alive|te|trailer|transfer-encoding|upgrade|webhook-(?:id|timestamp|signature))$/i;

function readHeaders(section: ConfigSection): Readonly<Record<string, Secret>> {
  const headers: Record<string, Secret> = {};
  for (const [written, key] of section.keysUnder("http.header.")) {
    const name = written.replace(/_file$/i, "");
    if (!HEADER_NAME.test(name)) throw section.error(key, "is not the name of a header");
    if (OWN_HEADERS.test(name)) throw section.error(key, `cannot be set: ${name} is made for each request`);
    headers[name] = readSecret(section, key.replace(/_file$/, ""), parseHeaderValue);
  }
  return headers;
}

function parseHeaderValue(text: string): Secret {
  if (/^[\t\x20-\x7e\xa0-\xff]+$/.test(parseText(text))) return new Secret(Buffer.from(text, "latin1"));
  throw new ConfigurationError("cannot be an HTTP header: use one line of printable ASCII");
}

const AUTH_KEYS: Readonly<Record<HttpAuth["kind"], readonly string[]>> = {
  none: [],
  bearer: ["http.token"],
  basic: ["http.user", "http.password"],
  "standard-webhooks": ["http.secret"],
};

function readAuth(section: ConfigSection, url: string): HttpAuth {
  const kinds = Object.keys(AUTH_KEYS) as HttpAuth["kind"][];
  const kind = section.readOptional("http.auth", oneOf(...kinds), "none" as const);
  for (const key of kinds.flatMap((other) => (other === kind ? [] : AUTH_KEYS[other])))
    section.ignore(key, `has no effect: http.auth is ${kind}`);
  const checked = (key: string, secret: Secret): Secret => {
    if (!isLoopback(url)) checkExposedSecret(section, key, secret);
    return secret;
  };
  switch (kind) {
    case "none":
      return { kind };
    case "bearer":
      return { kind, token: checked("http.token", readSecret(section, "http.token", parseHeaderValue)) };
    case "standard-webhooks":
      return { kind, secret: checked("http.secret", readSecret(section, "http.secret", parseWebhookSecret)) };
    case "basic": {
      const user = readSecret(section, "http.user", parseUser);
      const password = readSecret(section, "http.password", (text) => new Secret(Buffer.from(text)));
      if (user.reveal().length + password.reveal().length === 0)
        throw section.error("http.auth", "is basic: set http.user, http.password or both");
      if (password.reveal().length > 0) checked("http.password", password);
      else checked("http.user", user); // a key, where the service wants no password
      return { kind, user, password };
    }
  }
}

/** RFC 7617: a colon ends the user. The message never shows it: some services take a key for the user. */
function parseUser(text: string): Secret {
  if (/^[^:\p{Cc}]*$/u.test(text)) return new Secret(Buffer.from(text));
  throw new ConfigurationError("expected a user without a colon or control characters");
}

/** As Standard Webhooks writes it; the prefix may be left out. */
function parseWebhookSecret(text: string): Secret {
  return parseSecret(text.replace(/^whsec_/, ""));
}

function readBody(section: ConfigSection): Pick<HttpDestinationConfig, "bodyKind" | "body"> {
  const bodyKind = section.readOptional("http.body", oneOf(...BODY_KINDS), "ndjson" as const);
  if (bodyKind !== "template") {
    section.ignore("http.template.", `has no effect: http.body is ${bodyKind}`);
    return { bodyKind, body: BODIES[bodyKind] };
  }
  const text = (part: string) => section.readOptional(`http.template.${part}`, parseEscapes, "");
  const event = section.readOptional("http.template.event", parseEventTemplate, "{event}");
  return {
    bodyKind,
    body: { before: text("before"), event, between: text("between"), after: text("after") },
  };
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", "\\": "\\" };

function parseEscapes(text: string): string {
  return text.replace(/\\(.?)/gs, (written, letter: string) => {
    const meant = ESCAPES[letter];
    if (meant !== undefined) return meant;
    throw new ConfigurationError(`has ${quote(written)}: use \\n, \\t, or \\\\ for a backslash`);
  });
}

function parseEventTemplate(text: string): string {
  if (/\{event(?:_string)?\}/.test(text)) return parseEscapes(text);
  throw new ConfigurationError("must have {event} or {event_string} in it: the event's JSON");
}

/** What `--check` prints of it. */
export function httpSettings(config: HttpDestinationConfig): Record<string, unknown> {
  return {
    url: config.shownUrl,
    ...transportSettings("http", config),
    http_headers: Object.keys(config.headers),
    http_body: config.bodyKind,
    http_auth: config.auth.kind,
    http_compression: config.compression,
    http_response: config.response,
    http_accepted_statuses: config.acceptedStatuses ?? null,
    http_rejected_statuses: config.rejectedStatuses,
  };
}

/** The same of what `destination = collector` has, too. */
export function transportSettings(
  kind: string,
  { timeoutMs, proxy, tls }: HttpTransportConfig,
): Record<string, unknown> {
  return {
    [`${kind}_timeout_ms`]: timeoutMs,
    [`${kind}_proxy`]: withoutLogin(proxy),
    [`${kind}_tls_ca_file`]: tls?.caFile ?? null,
    [`${kind}_tls_cert_file`]: tls?.certFile ?? null,
    [`${kind}_tls_key_file`]: tls?.keyFile ?? null,
  };
}

function withoutLogin(proxy: HttpTransportConfig["proxy"]): string | null {
  if (!(proxy instanceof Secret)) return proxy ?? null;
  const { protocol, host } = new URL(Buffer.from(proxy.reveal()).toString());
  return `${protocol}//${host}`;
}
