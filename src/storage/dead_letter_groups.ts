/**
 * Dead letters by their reason: an outage of one kind makes hundreds of them that say the same.
 *
 * @module
 */
import type { DeadLetterSummary } from "./dead_letters.ts";

/** Dead letters with the same reason. */
export interface DeadLetterGroup {
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The response of all of them. Where they differ in numbers and ids, `#` is in their place. */
  readonly response: string;
  /** How many they are. */
  readonly count: number;
  /** When the first of them was rejected, in Unix milliseconds. */
  readonly firstDeadAtMs: number;
  /** The one that was rejected last. */
  readonly newest: DeadLetterSummary;
}

/** UUIDs, numbers, and hexadecimal numbers with a digit. */
const VARIABLE_PART = /\b(?:[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|[\da-f]*\d[\da-f]*)\b/gi;

function patternOf(response: string): string {
  return response.replaceAll(VARIABLE_PART, "#");
}

/** The same text for dead letters with the same reason: the status, and the response without its numbers and ids. */
export function reasonOf({ status, response }: DeadLetterSummary): string {
  return `${status} ${patternOf(response)}`;
}

/** Groups dead letters by their reason: the largest group first, then the one with the newest dead letter. */
export function groupByReason(letters: Iterable<DeadLetterSummary>): DeadLetterGroup[] {
  const groups = new Map<string, DeadLetterGroup>();
  for (const letter of letters) {
    const reason = reasonOf(letter);
    const group = groups.get(reason);
    groups.set(reason, group === undefined ? groupOf(letter) : withLetter(group, letter));
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || b.newest.deadAtMs - a.newest.deadAtMs);
}

function groupOf(letter: DeadLetterSummary): DeadLetterGroup {
  const { status, response, deadAtMs } = letter;
  return { status, response, count: 1, firstDeadAtMs: deadAtMs, newest: letter };
}

function withLetter(group: DeadLetterGroup, letter: DeadLetterSummary): DeadLetterGroup {
  return {
    ...group,
    response: group.response === letter.response ? group.response : patternOf(group.response),
    count: group.count + 1,
    firstDeadAtMs: Math.min(group.firstDeadAtMs, letter.deadAtMs),
    newest: isNewer(letter, group.newest) ? letter : group.newest,
  };
}

function isNewer(one: DeadLetterSummary, other: DeadLetterSummary): boolean {
  return (one.deadAtMs - other.deadAtMs || one.id - other.id) > 0;
}
