/**
 * The runtimes that everything is checked under besides the Bun that runs the checks, pinned, as npm has them:
 * `bun x deno@2.9.6 ...`.
 */
export const DENO = "deno@2.9.6";
export const NODE = "node@24.21.0";
/** The oldest line of Node that `engines` in package.json admits. */
export const OLDEST_NODE = "node@22.23.3";
