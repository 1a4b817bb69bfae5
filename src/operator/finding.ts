/**
 * What `queue check` finds.
 *
 * @module
 */

/** One finding: what is so, and what to do about it. */
export interface Finding {
  /** `problem`: act, or events are refused, not delivered or lost; `warning`: look at it; `ok`. */
  readonly level: "ok" | "warning" | "problem";
  readonly text: string;
  readonly advice?: string;
}

export function ok(text: string): Finding {
  return { level: "ok", text };
}

export function warning(text: string, advice: string): Finding {
  return { level: "warning", text, advice };
}

export function problem(text: string, advice: string): Finding {
  return { level: "problem", text, advice };
}
