/**
 * What the errors of a Postgres server, and of the connection to it, mean for the events.
 *
 * @module
 */
import { describePostgres, type PostgresConfig } from "../config/postgres_config.ts";
import { ConfigurationError } from "../errors.ts";

/** Why events were not stored, through no fault of their own. */
export interface Failure {
  /** `misconfigured`: it does not pass by itself. */
  readonly kind: "unavailable" | "misconfigured";
  readonly reason: string;
  /** Whether events may be stored: no answer came, or not to all statements. */
  readonly isTransport: boolean;
}

/** A batch was given up before the server answered. */
export class GivenUp extends Error {}

/** An insert of several statements broke off, for the reason in its `cause`. */
export class PartlyInserted extends Error {}

/** An error with a code: SQLSTATE, five characters, of the server; else one of the system or the library. */
interface PostgresError extends Error {
  readonly code?: unknown;
  readonly constraint_name?: string;
}

/**
 * SQLSTATE classes whose errors are about the values of a row: data exception, constraint violation, check option, limit
 * of the program, and what a trigger raises. Source: PostgreSQL, Appendix A.
 */
const VALUE_CLASSES = new Set(["22", "23", "44", "54", "P0"]);

/** Whether the server rejects an event of the statement, and would take others. */
export function isAboutEvents(error: unknown): boolean {
  const { code, constraint_name: constraint } = error as PostgresError;
  if (typeof code !== "string") return false;
  // A check without a name: the row has no partition, whatever is in it.
  return VALUE_CLASSES.has(code.slice(0, 2)) && !(code === "23514" && constraint === undefined);
}

/** Whether a row is there already, by the key or by another unique index. */
export function isUniqueViolation(error: unknown): boolean {
  return (error as PostgresError).code === "23505";
}

/** What to do about an error of the server, by SQLSTATE or its class. The first that matches counts. */
const ADVICE: readonly (readonly [code: string, kind: Failure["kind"], advice: string])[] = [
  ["28", "misconfigured", "see the user and password of postgres.url, and the server's pg_hba.conf"],
  ["3D000", "misconfigured", "create the database, or see its name in postgres.url"],
  ["3F000", "misconfigured", "create the schema that postgres.table names"],
  ["42501", "misconfigured", "grant the user what docs/postgres.md lists"],
  ["25006", "misconfigured", "this is a replica, or read-only: postgres.url must lead to the primary"],
  ["23514", "misconfigured", "the table has no partition for today: see postgres.partition"],
  ["42P01", "unavailable", "somebody dropped the table: the next attempt creates it again"],
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

/** Describes an error that is not about the events. The text holds no password: the server does not repeat it. */
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
    // After 57P01 to 57P03, and 08, nobody knows what the server had done.
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
