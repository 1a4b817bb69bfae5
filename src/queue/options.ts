import { ConfigurationError } from "../errors.ts";

/** Refuses an option that is not a whole number from 1 to `max`. @throws {ConfigurationError} */
export function checkWhole(key: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new ConfigurationError(`must be a whole number from 1 to ${max}, and is ${value}.`, { key });
}
