/** The table of events: how it is created, checked and written to. */
import type { PostgresConfig } from "../config/postgres_config.ts";
import { ConfigurationError } from "../errors.ts";
import type { Client } from "./connect.ts";

/** The columns and their types. */
const COLUMNS: Readonly<Record<string, string>> = {
  queue: "uuid",
  id: "bigint",
  put_at: "timestamp with time zone",
  received_at: "timestamp with time zone",
  source: "text",
  event: "jsonb",
};

/** The columns that get a value with each event. */
const GIVEN = new Set(["queue", "id", "source", "event"]);

/** The statements that create the table. Several processes may run them at the same time. */
function creationOf({ table, partition }: PostgresConfig): string {
  const isPartitioned = partition === "day";
  return `
    SELECT pg_advisory_xact_lock(hashtext('eventspool'));
    CREATE TABLE IF NOT EXISTS ${quoted(table)} (
      queue       uuid        NOT NULL, -- of the queue's file; of the batch if the publisher sent no ids
      id          bigint      NOT NULL, -- of the event in its queue
      put_at      timestamptz,          -- when the service put it; NULL: it came through a collector
      received_at timestamptz NOT NULL DEFAULT now(),
      source      text        NOT NULL, -- the source of the collector's key; '' from a publisher
      event       jsonb       NOT NULL,
      PRIMARY KEY (queue, id, source${isPartitioned ? ", received_at" : ""})
    )${isPartitioned ? " PARTITION BY RANGE (received_at)" : ""};
    ${isPartitioned ? insertFunction(table) : ""}`;
}

/** Finds which ids the table has, of a queue, a source and ids in the parameters 1 to 3. */
export function idsIn({ table }: PostgresConfig): string {
  return `SELECT id FROM ${quoted(table)}
    WHERE queue = $1::text::uuid AND source = $2::text AND id = ANY ($3::text::bigint[])`;
}

/** Inserts events. The parameters are texts: queue, source, ids and put times as arrays, and the events as lines. */
function insertInto(table: string): string {
  return `
    INSERT INTO ${quoted(table)} (queue, id, put_at, source, event)
    SELECT $1::uuid, new.id, to_timestamp(new.put_at_ms / 1000), $2, new.event::jsonb
    FROM unnest($3::bigint[], $4::float8[], string_to_array($5, E'\\n')) AS new (id, put_at_ms, event)`;
}

/** Statements that insert events. `stored` of the result's row says how many they inserted, or the count without a row. */
export interface Insertion {
  readonly statement: string;
  /**
   * For a second attempt, after the first one violated the key since an event was stored before, as after a crash. It
   * checks each row before the insert, which takes a quarter longer.
   */
  readonly ifConflict: string;
}

export function insertionOf({ table, partition }: PostgresConfig): Insertion {
  if (partition === "day") {
    const statement = `SELECT ${quoted(`${table}_insert`)}($1, $2, $3, $4, $5) AS stored`;
    return { statement, ifConflict: statement };
  }
  const statement = insertInto(table).replace(/\$(\d)/g, "$$$1::text");
  const careful = `${statement} ON CONFLICT (queue, id, source) DO NOTHING RETURNING 1`;
  return { statement, ifConflict: `WITH stored AS (${careful}) SELECT count(*) AS stored FROM stored` };
}

/**
 * A key of a partitioned table cannot span its partitions. So this function looks for the ids of a batch in all
 * partitions, a range of an index each. Inserts of one queue run one after the other, by a lock: it must be taken before
 * the statement that sees the table, and so in a function. It also creates the partition of the day.
 */
function insertFunction(table: string): string {
  return `
    CREATE OR REPLACE FUNCTION ${quoted(`${table}_insert`)}(text, text, text, text, text) RETURNS bigint
    LANGUAGE plpgsql AS $$${insertFunctionBody(table)}$$;`;
}

function insertFunctionBody(table: string): string {
  return `
    #variable_conflict use_variable
    DECLARE
      today timestamp := date_trunc('day', now() AT TIME ZONE 'UTC');
      part text := '${table}_' || to_char(today, 'YYYYMMDD');
      ids bigint[] := $3::bigint[];
      first_id bigint := ids[1];
      last_id bigint := ids[cardinality(ids)];
      known bigint[];
      stored bigint;
    BEGIN
      PERFORM pg_advisory_xact_lock(hashtextextended($1 || $2, 0));
      IF to_regclass(part) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('eventspool'));
        EXECUTE format('CREATE TABLE IF NOT EXISTS %s PARTITION OF ${quoted(table)} FOR VALUES FROM (%L) TO (%L)',
          part, today AT TIME ZONE 'UTC', (today + interval '1 day') AT TIME ZONE 'UTC');
      END IF;
      known := ARRAY(
        SELECT id FROM ${quoted(table)} WHERE queue = $1::uuid AND source = $2
        AND id BETWEEN first_id AND last_id INTERSECT SELECT unnest(ids)
      );
      ${insertInto(table)} WHERE new.id <> ALL (known);
      GET DIAGNOSTICS stored = ROW_COUNT;
      RETURN stored;
    END `;
}

/** Describes the table; without a row there is none. */
const INSPECTION = `
  SELECT c.relkind AS kind, c.relpersistence = 'u' AS "isUnlogged",
    current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS "synchronousCommit",
    row_security_active(c.oid) AS "hasRowSecurity",
    EXISTS (
      SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_type IN ('2', '3') AND ev_enabled <> 'D'
    ) AS "hasRule",
    (SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure($2::text)) AS "insertFunction",
    has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AS "isGranted",
    EXISTS (
      SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indnkeyatts = 3 AND 3 = (
        SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        AND a.attname IN ('queue', 'id', 'source'))
    ) AS "hasKey",
    (SELECT json_agg(json_build_object(
      'name', attname, 'type', format_type(atttypid, NULL),
      'isRequired', attnotnull AND (attname = 'put_at' OR NOT atthasdef AND attidentity = '')))
     FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
  FROM pg_class c WHERE c.oid = to_regclass($1::text)`;

interface TableInfo {
  readonly kind: string;
  readonly isUnlogged: boolean;
  readonly encoding: string;
  readonly fsync: string;
  readonly synchronousCommit: string;
  readonly hasRowSecurity: boolean;
  /** Whether a rule rewrites an INSERT or UPDATE. */
  readonly hasRule: boolean;
  /** The body of the function that inserts into partitions. */
  readonly insertFunction: string | null;
  readonly isGranted: boolean;
  readonly hasKey: boolean;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly isRequired: boolean }[];
}

/**
 * Checks the table. Creates what is missing of it if `isCreating`.
 *
 * @returns how the server's settings can lose events
 * @throws {ConfigurationError} (rejects) the table has other columns or another key, or the user lacks rights
 */
export async function checkTable(
  client: Client,
  config: PostgresConfig,
  isCreating: boolean,
): Promise<readonly string[]> {
  const insertFunction = `${quoted(`${config.table}_insert`)}(text,text,text,text,text)`;
  const [info] = await client.query(INSPECTION, [quoted(config.table), insertFunction]);
  const table = info as unknown as TableInfo | undefined;
  const problem = table && problemOf(table, config);
  if (problem !== undefined)
    throw new ConfigurationError(
      `The table ${config.table} ${problem}: change it, or choose another with postgres.table.`,
    );
  if (isCreating && !isComplete(table, config)) {
    await client.script(creationOf(config));
    return await checkTable(client, config, false);
  }
  return table === undefined ? [] : risksOf(table, config);
}

/** Whether the table is there, and this version of its function. */
function isComplete(table: TableInfo | undefined, config: PostgresConfig): boolean {
  if (table === undefined) return false;
  return config.partition === "none" || table.insertFunction === insertFunctionBody(config.table);
}

function problemOf(table: TableInfo, { partition }: PostgresConfig): string | undefined {
  const expected = partition === "day" ? "p" : "r";
  if (table.kind !== expected)
    return `is ${KINDS[table.kind] ?? "no table"}, and postgres.partition = ${partition} needs ${KINDS[expected]}`;
  for (const [name, type] of Object.entries(COLUMNS)) {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined) return `has no column ${name}, which must be ${type}`;
    if (column.type !== type) return `has a column ${name} of type ${column.type}, which must be ${type}`;
  }
  const required = table.columns.find(({ name, isRequired }) => isRequired && !GIVEN.has(name));
  if (required !== undefined) return `has a column ${required.name} that is NOT NULL and gets no value`;
  if (table.hasRule) return "has a rule on INSERT or UPDATE, which can drop events";
  if (partition === "none" && !table.hasKey)
    return "has no primary key or unique index on (queue, id, source)";
  if (!table.isGranted) return "is not open to this user: GRANT SELECT, INSERT ON it";
  return undefined;
}

const KINDS: Readonly<Record<string, string>> = {
  r: "a plain table",
  p: "a partitioned table",
  v: "a view",
  m: "a materialized view",
  f: "a foreign table",
};

function risksOf(info: TableInfo, { table }: PostgresConfig): string[] {
  const { encoding, isUnlogged, fsync, synchronousCommit, hasRowSecurity } = info;
  const risks: string[] = [];
  if (encoding !== "UTF8")
    risks.push(
      `The database has the encoding ${encoding}: events with other characters become dead letters.`,
    );
  if (hasRowSecurity)
    risks.push(
      `The policies of the table ${table} apply to this user: they may reject events, or hide stored ones, which are then stored twice. Use a user with BYPASSRLS.`,
    );
  if (isUnlogged)
    risks.push(`The table ${table} is UNLOGGED: a crash of the server empties it. Use SET LOGGED.`);
  if (fsync === "off")
    risks.push("The server runs with fsync = off: a power cut loses events that it stored.");
  if (synchronousCommit === "off")
    risks.push(
      "The server runs with synchronous_commit = off: a crash loses the last events that it stored.",
    );
  return risks;
}

/** `"schema"."table"`. The configuration allows no quotes in names. */
function quoted(table: string): string {
  return table
    .split(".")
    .map((name) => `"${name}"`)
    .join(".");
}
