/**
 * The other runtimes of the tests, in addition to the Bun that runs them, as pinned npm packages: `bun x deno@2.9.6 ...`.
 */
export const DENO = "deno@2.9.6";
export const NODE = "node@24.21.0";
/** The oldest line of Node that `engines` in package.json admits. */
export const OLDEST_NODE = "node@22.23.3";
