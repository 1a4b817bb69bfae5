/**
 * An app's own checks of events.
 *
 * @module
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { HTTPException } from "hono/http-exception";
import { EventInvalidError } from "../errors.ts";
import { withSchema } from "../serializers/standard_schema.ts";
import type { ParsedEvents } from "./events.ts";

/**
 * Says what is wrong with an event; undefined: nothing is. The event is as `JSON.parse` reads it: integers beyond
 * 2^53 have lost digits. What it says goes to the publisher, its first 200 characters.
 */
export type EventValidator = (event: unknown) => string | undefined;

const NOTHING = new Uint8Array(0);

/**
 * A validator of a Standard Schema, such as of zod, valibot or arktype. What the schema makes of an event is not
 * used: events are stored as they were sent.
 *
 * @throws {ConfigurationError} it is none
 */
export function schemaValidator(schema: StandardSchemaV1): EventValidator {
  const check = withSchema(schema, () => NOTHING);
  return (event) => {
    try {
      check(event);
      return undefined;
    } catch (error) {
      if (error instanceof EventInvalidError) return error.message;
      throw error;
    }
  };
}

/**
 * Adds the events that the validator fails to the rejections.
 *
 * @throws {HTTPException} 500 when it throws; 422 when more are rejected than can be listed
 */
export function validateEvents({ events, rejections }: ParsedEvents, validate: EventValidator): void {
  for (let index = 0; index < events.count; index++) {
    if (rejections.has(index)) continue;
    const problem = attempt(validate, JSON.parse(events.text(index)));
    if (problem !== undefined) rejections.add(index, problem);
  }
}

function attempt(validate: EventValidator, event: unknown): string | undefined {
  try {
    const problem: unknown = validate(event);
    if (problem === undefined || typeof problem === "string") return problem;
    throw new TypeError(`validate must return a string or undefined, not ${typeof problem}`);
  } catch (cause) {
    throw new HTTPException(500, { message: "The collector's check of events failed.", cause });
  }
}
