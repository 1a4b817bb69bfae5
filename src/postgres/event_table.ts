/** Storing events in a Postgres table, each once, and what an error of the server or the connection means for them. */
import { getLogger } from "@logtape/logtape";
import { describePostgres, type PostgresConfig } from "../config/postgres_config.ts";
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { type Client, openClient } from "./connect.ts";
import { checkTable, type Insertion, idsIn, insertionOf } from "./schema.ts";

/** Events of one queue, in ascending order of their ids. */
export interface EventRows {
  /** The queue's UUID. */
  readonly queue: string;
  /** Whose queue: the same queue and id of two sources are two events. */
  readonly source: string;
  readonly ids: readonly number[];
  /** When they were put, in Unix milliseconds; empty: not known. */
  readonly putAtMs: readonly number[];
  /** Their JSON texts, without line feeds. */
  readonly texts: readonly string[];
}

/** The result of an insert. With a `failure`, each event may be stored or not. */
export interface InsertResult {
  /** How many were stored before. */
  readonly duplicates: number;
  /** The events that the server never accepts, by their indexes, ascending. */
  readonly rejected: readonly { readonly index: number; readonly error: string }[];
  /** Why the other events are not all stored. */
  readonly failure: AttemptFailure | undefined;
}

interface AttemptFailure extends Failure {
  /** Whether it is certain that none of the events is stored. */
  readonly isUnsent: boolean;
}

/** The result of work in a session, or why it failed. */
type Attempt<Result> =
  | { readonly result: Result; readonly failure?: undefined }
  | { readonly result?: undefined; readonly failure: AttemptFailure };

/** A pool of connections, and the check of the table that the first insert makes. */
interface Session {
  readonly client: Promise<Client>;
  prepared: Promise<void> | undefined;
  isPrepared: boolean;
}

const NEVER = new AbortController().signal;

const logger = getLogger(["eventspool", "postgres"]);

/** Inserts events into a table. It connects with the first events, and again after a failure. */
export class EventTable {
  readonly #config: PostgresConfig;
  readonly #name: string;
  readonly #insertion: Insertion;
  readonly #running = new Set<Promise<unknown>>();
  #session: Session | undefined;
  #risks: readonly string[] = [];
  #isClosed = false;

  /** @param name the `application_name` in the server's `pg_stat_activity` */
  constructor(config: PostgresConfig, name: string) {
    this.#config = config;
    this.#name = name;
    this.#insertion = insertionOf(config);
  }

  /** How the server's settings can lose events, as of the last check; none before the first connection. */
  get risks(): readonly string[] {
    return this.#risks;
  }

  /**
   * Checks the settings now, and connects if necessary. Changes nothing: the table is created with the first insert.
   *
   * @throws {EventStorageError} (rejects) `POSTGRES_UNAVAILABLE`, `POSTGRES_MISCONFIGURED`
   */
  async checkRisks(): Promise<readonly string[]> {
    const { result, failure } = await this.#attempt(
      async ({ client }) => await this.#check(await client, { isCreating: false }),
      NEVER,
    );
    if (failure !== undefined) throw storageErrorOf(failure, this.#config);
    return result;
  }

  /**
   * Inserts the events that the table does not have. Resolves after the configured timeout at the latest, and never
   * rejects.
   *
   * @param stop gives the insert up when it aborts
   */
  async insert(events: EventRows, stop: AbortSignal): Promise<InsertResult> {
    const { result, failure } = await this.#attempt(async (session) => {
      session.prepared ??= this.#prepare(session);
      await session.prepared;
      return await this.#insertAll(await session.client, events);
    }, stop);
    return result ?? { duplicates: 0, rejected: [], failure };
  }

  /** Resolves when running inserts have ended, and the connections are closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#running);
    await (await this.#session?.client)?.end({ isNow: false });
  }

  /** Does work over the session. Drops the session if the work fails, exceeds the timeout or is stopped. */
  #attempt<Result>(work: (session: Session) => Promise<Result>, stop: AbortSignal): Promise<Attempt<Result>> {
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const { timeoutMs } = this.#config;
    const late = (): void =>
      reject(
        new GivenUp(
          `no answer within ${timeoutMs} ms: see postgres.timeout, and which server postgres.url names`,
        ),
      );
    const cut = (): void => reject(new GivenUp("the grace time of the stop has ended"));
    const timer = setTimeout(late, timeoutMs);
    stop.addEventListener("abort", cut, { once: true });
    if (stop.aborted) cut();
    const running = this.#race(work, givenUp).finally(() => {
      clearTimeout(timer);
      stop.removeEventListener("abort", cut);
      this.#running.delete(running);
    });
    this.#running.add(running);
    return running;
  }

  async #race<Result>(
    work: (session: Session) => Promise<Result>,
    givenUp: Promise<never>,
  ): Promise<Attempt<Result>> {
    const session = this.#open();
    try {
      return { result: await Promise.race([work(session), givenUp]) };
    } catch (error) {
      const failure = failureOf(error, this.#config);
      this.#drop(session, { isNow: failure.isTransport });
      return { failure: { ...failure, isUnsent: !session.isPrepared || !failure.isTransport } };
    }
  }

  async #insertAll(client: Client, events: EventRows): Promise<InsertResult> {
    const rejected: RejectedRow[] = [];
    const count = events.texts.length;
    const stored = await this.#insertRange(client, { events, from: 0, to: count, rejected });
    rejected.sort((one, other) => one.index - other.index);
    return { duplicates: count - stored - rejected.length, rejected, failure: undefined };
  }

  /**
   * Inserts a range of the events. If the server rejects one of them, inserts the range in parts, about as many parts as
   * each has events: so one event among 1,500 is found with some 50 statements, in four rounds.
   *
   * @returns how many it stored
   */
  async #insertRange(client: Client, range: Range): Promise<number> {
    const { events, from, to, rejected, isConflict = false } = range;
    try {
      const { statement, ifConflict } = this.#insertion;
      const rows = await client.query(isConflict ? ifConflict : statement, parametersOf(range));
      const stored = Number(rows[0]?.stored ?? rows.count);
      if (stored < to - from) await this.#rejectDropped(client, range);
      return stored;
    } catch (error) {
      if (!isAboutEvents(error)) throw error;
      if (isUniqueViolation(error) && !isConflict)
        return await this.#insertRange(client, { ...range, isConflict: true });
      if (to - from === events.texts.length) await this.#check(client, { isCreating: false }); // it may have been changed
      if (to - from === 1) {
        const { message, code } = error as Error & { code: string };
        rejected.push({ index: from, error: `${message} (${code})` });
        return 0;
      }
    }
    const size = Math.floor(Math.sqrt(to - from));
    const parts: Promise<number>[] = [];
    for (let at = from; at < to; at += size)
      parts.push(this.#insertRange(client, { ...range, from: at, to: Math.min(at + size, to) }));
    const stored = await Promise.all(parts).catch((cause) => {
      throw new PartlyInserted("some of the events are stored", { cause });
    });
    return stored.reduce((sum, count) => sum + count, 0);
  }

  /** Rejects the events of a range that the server took and did not store. If the table has a rule now, it is to blame. */
  async #rejectDropped(client: Client, range: Range): Promise<void> {
    const { events, from, to, rejected } = range;
    try {
      const rows = await client.query(idsIn(this.#config), parametersOf(range).slice(0, 3));
      const found = new Set(rows.map(({ id }) => Number(id)));
      if (events.ids.slice(from, to).every((id) => found.has(id))) return;
      await this.#check(client, { isCreating: false });
      for (let index = from; index < to; index++)
        if (!found.has(events.ids[index]!)) rejected.push({ index, error: DROPPED });
    } catch (cause) {
      throw new PartlyInserted("some of the events are stored", { cause });
    }
  }

  /** The current session, or a new one, shared by all inserts of this moment. */
  #open(): Session {
    if (this.#session !== undefined) return this.#session;
    const client = this.#isClosed
      ? Promise.reject(new Error("it is closed"))
      : openClient(this.#config, this.#name);
    this.#session = { client, prepared: undefined, isPrepared: false };
    return this.#session;
  }

  async #prepare(session: Session): Promise<void> {
    await this.#check(await session.client, { isCreating: true });
    session.isPrepared = true;
  }

  async #check(client: Client, { isCreating }: { isCreating: boolean }): Promise<readonly string[]> {
    const risks = await checkTable(client, this.#config, isCreating);
    for (const risk of risks)
      if (!this.#risks.includes(risk))
        logger.warn("The server's settings put events at risk: {risk}", { risk });
    this.#risks = risks;
    return risks;
  }

  /** After a failure its connections are not used again: they may lead to a server that is not the primary any more. */
  #drop(session: Session, { isNow }: { readonly isNow: boolean }): void {
    if (this.#session === session) this.#session = undefined;
    void session.client.then((client) => client.end({ isNow })).catch(() => {});
  }
}

const DROPPED = "a trigger of the table dropped it: see the triggers that return NULL";

type RejectedRow = InsertResult["rejected"][number];

interface Range {
  readonly events: EventRows;
  readonly from: number;
  /** Not part of the range. */
  readonly to: number;
  readonly rejected: RejectedRow[];
  /** Whether another connection may be inserting the same events. Default: false. */
  readonly isConflict?: boolean;
}

function parametersOf({ events, from, to }: Range): string[] {
  const { queue, source, ids, putAtMs, texts } = events;
  const array = (numbers: readonly number[]) => `{${numbers.slice(from, to).join()}}`;
  return [queue, source, array(ids), array(putAtMs), texts.slice(from, to).join("\n")];
}

/** A failure as an error, for callers that throw. */
export function storageErrorOf({ kind, reason }: Failure, config: PostgresConfig): EventStorageError {
  return new EventStorageError(`POSTGRES_${kind.toUpperCase()}`, describePostgres(config), reason);
}

/** Why events were not stored, through no fault of their own. */
export interface Failure {
  /** `misconfigured`: someone must change something first. */
  readonly kind: "unavailable" | "misconfigured";
  readonly reason: string;
  /** Whether events may be stored although it failed: not every statement got a response. */
  readonly isTransport: boolean;
}

/** The work was given up before the server responded. */
class GivenUp extends Error {}

/** An insert of several statements failed in the middle, for the reason in its `cause`. */
class PartlyInserted extends Error {}

/** An error of the server, whose `code` is a SQLSTATE, or one of the system or the library. */
interface PostgresError extends Error {
  readonly code?: unknown;
  /** Where it happened, as in functions: a line each, the innermost first. */
  readonly where?: string;
  readonly constraint_name?: string;
}

/**
 * SQLSTATE classes of errors about the values of a row: data exception, constraint violation, check option, program
 * limit, and what a trigger raises. Source: PostgreSQL, Appendix A.
 */
const VALUE_CLASSES = new Set(["22", "23", "44", "54", "P0"]);

/** Whether the server rejects an event of the statement, but would accept others. */
function isAboutEvents(error: unknown): boolean {
  const { code, constraint_name: constraint } = error as PostgresError;
  if (typeof code !== "string") return false;
  // A check violation without a name: there is no partition for the row, whatever its values.
  return VALUE_CLASSES.has(code.slice(0, 2)) && !(code === "23514" && constraint === undefined);
}

/** Whether a row exists, by the key or by another unique index. */
function isUniqueViolation(error: unknown): boolean {
  return (error as PostgresError).code === "23505";
}

/** What to do about an error of the server, by SQLSTATE or its beginning. The first match counts. */
const ADVICE: readonly (readonly [code: string, kind: Failure["kind"], advice: string])[] = [
  ["28", "misconfigured", "see the user and password of postgres.url, and the server's pg_hba.conf"],
  ["3D000", "misconfigured", "create the database, or see its name in postgres.url"],
  ["3F000", "misconfigured", "create the schema that postgres.table names"],
  [
    "42501",
    "misconfigured",
    "grant the user what docs/postgres.md lists; with row security, its policies must allow INSERT and SELECT",
  ],
  ["25006", "misconfigured", "this is a replica, or read-only: postgres.url must lead to the primary"],
  ["23514", "misconfigured", "the table has no partition for today: see postgres.partition"],
  ["42P01", "unavailable", "the table was dropped: the next attempt creates it again"],
  ["42", "misconfigured", "the table is not as docs/postgres.md shows it: see postgres.table"],
  ["0A", "misconfigured", "the database's encoding must be UTF8, and the table as docs/postgres.md shows it"],
  ["55P03", "unavailable", "a lock held it up: see pg_stat_activity, or raise the user's lock_timeout"],
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

/** Finds the function in which an error happened. */
const IN_FUNCTION = /^(?:PL\/pgSQL|SQL) function "?([\w.]+)/m;

/** Errors of a statement as such: a missing table or right. In a function of the user's, it is that function's. */
const STATEMENT_CLASSES = /^(?:42|3F|0A)/;

const TLS_PROBLEM = /certificate|self.signed|CERT_|SSL|TLS|altname/i;

function adviceOn({ code, where }: PostgresError, { table }: PostgresConfig): [Failure["kind"], string] {
  const name = IN_FUNCTION.exec(where ?? "")?.[1];
  if (name !== undefined && name !== `${table}_insert` && STATEMENT_CLASSES.test(String(code)))
    return ["misconfigured", `the function ${name} of a trigger failed: correct it, or drop the trigger`];
  const [, kind, advice] = ADVICE.find(([prefix]) => String(code).startsWith(prefix)) ?? [];
  return [kind ?? "unavailable", advice ?? ""];
}

/** Describes an error that is not about the events. The text has no password: servers do not repeat it. */
function failureOf(error: unknown, config: PostgresConfig): Failure {
  const { name, code: anyCode, message } = error as PostgresError;
  const where = describePostgres(config);
  if (error instanceof PartlyInserted) return { ...failureOf(error.cause, config), isTransport: true };
  if (ConfigurationError.is(error)) return { kind: "misconfigured", reason: message, isTransport: false };
  const code = typeof anyCode === "string" ? anyCode : "";
  if (name === "PostgresError") {
    const [kind, advice] = adviceOn(error as PostgresError, config);
    // 57P and 08: the connection ends, and what the server did is not known.
    return {
      kind,
      reason: `${where}: ${message} (${code})${advice && `: ${advice}`}`,
      isTransport: /^(?:57P|08)/.test(code),
    };
  }
  if (error instanceof GivenUp)
    return { kind: "unavailable", reason: `${where}: ${message}`, isTransport: true };
  const said = message.replaceAll(config.address.host, ""); // it may be tls.example
  if (TLS_PROBLEM.test(`${code} ${said}`))
    return {
      kind: "misconfigured",
      reason: `${where}: no TLS: ${message}: see sslmode in postgres.url, and postgres.tls_ca_file`,
      isTransport: true,
    };
  const reason = `${where} cannot be reached: ${message || code}: see that it runs, and postgres.url`;
  return { kind: "unavailable", reason, isTransport: true };
}
