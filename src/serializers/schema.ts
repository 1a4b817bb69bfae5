/**
 * Events that a schema checks before they are serialized. Any Standard Schema will do (https://standardschema.dev):
 * those of zod, valibot, arktype and others.
 *
 * @module
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { ConfigurationError, EventInvalidError } from "../errors.ts";
import { describeSchemaIssues } from "./schema_issues.ts";

/**
 * A serializer that takes what `schema` takes, and serializes what it makes of that: with its defaults, and without
 * what it strips.
 *
 * The serializer throws EventInvalidError for an event that the schema refuses, and ConfigurationError for a schema
 * that validates asynchronously, which shows only when it is used.
 *
 * @throws {ConfigurationError} it is not a Standard Schema of version 1
 */
export function withSchema<Input, Output>(
  schema: StandardSchemaV1<Input, Output>,
  serialize: (event: Output) => Uint8Array,
): (event: Input) => Uint8Array {
  const standard = standardOf(schema);
  return (event) => {
    const result = validate(standard, event);
    if (result.issues) throw new EventInvalidError(describeSchemaIssues(result.issues, event));
    return serialize(result.value);
  };
}

function standardOf<Input, Output>(
  schema: StandardSchemaV1<Input, Output>,
): StandardSchemaV1.Props<Input, Output> {
  const standard = schema?.["~standard"]; // of an arktype schema, too, which is a function
  if (standard?.version === 1 && typeof standard.validate === "function") return standard;
  const problem =
    "is not a Standard Schema of version 1: pass a schema of zod, valibot, arktype or the like.";
  throw new ConfigurationError(problem, { key: "schema" });
}

function validate<Output>(
  standard: StandardSchemaV1.Props<unknown, Output>,
  event: unknown,
): StandardSchemaV1.Result<Output> {
  let result: ReturnType<typeof standard.validate>;
  try {
    result = standard.validate(event);
  } catch (cause) {
    // Its message may quote the event: it is in the cause alone.
    const problem = `its schema threw ${cause instanceof Error ? cause.name : typeof cause}`;
    throw new EventInvalidError([{ field: "", problem, found: undefined }], undefined, { cause });
  }
  if (!("then" in result)) return result;
  void result.then(undefined, () => {}); // nobody waits for it, and it must not end the process
  const problem = `is one of ${standard.vendor} that validates asynchronously, and put does not wait: leave async checks and transforms out of it.`;
  throw new ConfigurationError(problem, { key: "schema" });
}
