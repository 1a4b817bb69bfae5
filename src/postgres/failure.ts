/**
 * What an error of a Postgres server, or of the connection, means for the events.
 *
 * @module
 */
import { describePostgres, type PostgresConfig } from "../config/postgres_config.ts";
import { ConfigurationError } from "../errors.ts";

/** Why events were not stored, through no fault of their own. */
export interface Failure {
  /** `misconfigured`: someone must change something first. */
  readonly kind: "unavailable" | "misconfigured";
  readonly reason: string;
  /** Whether events may be stored all the same: not each statement got a response. */
  readonly isTransport: boolean;
}

/** The work was given up before the server responded. */
export class GivenUp extends Error {}

/** An insert of several statements failed in the middle, for the reason in its `cause`. */
export class PartlyInserted extends Error {}

/** An error of the server, whose `code` is a SQLSTATE, or one of the system or the library. */
interface PostgresError extends Error {
  readonly code?: unknown;
  readonly constraint_name?: string;
}

/**
 * SQLSTATE classes of errors about the values of a row: data exception, constraint violation, check option, program
 * limit, and what a trigger raises. Source: PostgreSQL, Appendix A.
 */
const VALUE_CLASSES = new Set(["22", "23", "44", "54", "P0"]);

/** Whether the server rejects an event of the statement, but would accept others. */
export function isAboutEvents(error: unknown): boolean {
  const { code, constraint_name: constraint } = error as PostgresError;
  if (typeof code !== "string") return false;
  // A check violation without a name: there is no partition for the row, whatever its values.
  return VALUE_CLASSES.has(code.slice(0, 2)) && !(code === "23514" && constraint === undefined);
}

/** Whether a row exists, by the key or by another unique index. */
export function isUniqueViolation(error: unknown): boolean {
  return (error as PostgresError).code === "23505";
}

/** What to do about an error of the server, by SQLSTATE or its beginning. The first match counts. */
const ADVICE: readonly (readonly [code: string, kind: Failure["kind"], advice: string])[] = [
  ["28", "misconfigured", "see the user and password of postgres.url, and the server's pg_hba.conf"],
  ["3D000", "misconfigured", "create the database, or see its name in postgres.url"],
  ["3F000", "misconfigured", "create the schema that postgres.table names"],
  ["42501", "misconfigured", "grant the user what docs/postgres.md lists"],
  ["25006", "misconfigured", "this is a replica, or read-only: postgres.url must lead to the primary"],
  ["23514", "misconfigured", "the table has no partition for today: see postgres.partition"],
  ["42P01", "unavailable", "the table was dropped: the next attempt creates it again"],
  ["42", "misconfigured", "the table is not as docs/postgres.md shows it: see postgres.table"],
  ["0A", "misconfigured", "the table is not as docs/postgres.md shows it: see postgres.table"],
  ["53100", "unavailable", "free space on the server's disk"],
  ["53300", "unavailable", "raise the server's max_connections, or put a pooler in front of it"],
  ["53", "unavailable", "the server lacks resources"],
  [
    "57014",
    "unavailable",
    "a lock, or a slow server, held it up: see pg_stat_activity, or raise postgres.timeout",
  ],
  ["57P", "unavailable", "the server is starting or stopping"],
];

const TLS_PROBLEM = /certificate|self.signed|CERT_|SSL|TLS|altname/i;

/** Describes an error that is not about the events. The text has no password: servers do not repeat it. */
export function failureOf(error: unknown, config: PostgresConfig): Failure {
  const { name, code: anyCode, message } = error as PostgresError;
  const where = describePostgres(config);
  if (error instanceof PartlyInserted)
    return { ...failureOf(error.cause, config), kind: "unavailable", isTransport: true };
  if (ConfigurationError.is(error)) return { kind: "misconfigured", reason: message, isTransport: false };
  const code = typeof anyCode === "string" ? anyCode : "";
  if (name === "PostgresError") {
    const [, kind, advice] = ADVICE.find(([prefix]) => code.startsWith(prefix)) ?? ["", "unavailable"];
    const hint = advice === undefined ? "" : `: ${advice}`;
    // 57P and 08: the connection ends, and what the server did is not known.
    return {
      kind: kind as Failure["kind"],
      reason: `${where}: ${message} (${code})${hint}`,
      isTransport: /^(?:57P|08)/.test(code),
    };
  }
  if (error instanceof GivenUp)
    return { kind: "unavailable", reason: `${where}: ${message}`, isTransport: true };
  if (TLS_PROBLEM.test(`${code} ${message}`))
    return {
      kind: "misconfigured",
      reason: `${where}: no TLS: ${message}: see sslmode in postgres.url, and postgres.tls_ca_file`,
      isTransport: false,
    };
  const reason = `${where} cannot be reached: ${message || code}: see that it runs, and postgres.url`;
  return { kind: "unavailable", reason, isTransport: true };
}
