/**
 * Telling synchronous work from work that goes on later.
 *
 * @module
 */

/** Whether a function is declared `async`, and so returns before its work is done. */
export function isAsyncFunction(work: unknown): boolean {
  return Object.prototype.toString.call(work) === "[object AsyncFunction]";
}

/** Whether a value is a promise or is like one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  return isObject && typeof (value as { then?: unknown }).then === "function";
}

/** Lets a promise that nobody waits for fail without ending the process. */
export function silence(promise: PromiseLike<unknown>): void {
  void Promise.resolve(promise).catch(() => {});
}
