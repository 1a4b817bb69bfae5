/**
 * For `node --import`, on a Node that strips types but does not know `using` yet: each file of the repository is
 * loaded from what tsc made of it, in `$COMPILED_DIRECTORY`, and keeps its own URL, by which tests find
 * what lies beside them.
 */
import { existsSync, readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, relative } from "node:path";
import { env } from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

registerHooks({
  // tsc writes ".js" where ".ts" stood.
  resolve: (specifier, context, next) => {
    const ts = specifier.replace(/\.js$/, ".ts");
    const isOurs = specifier.startsWith(".") && ts !== specifier && context.parentURL?.endsWith(".ts");
    return next(isOurs && existsSync(new URL(ts, context.parentURL)) ? ts : specifier, context);
  },
  load: (url, context, next) => {
    const compiled = compiledFile(url);
    if (compiled === undefined) return next(url, context);
    return { format: "module", source: readFileSync(compiled, "utf8"), shortCircuit: true };
  },
});

function compiledFile(url: string): string | undefined {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return undefined;
  const path = relative(ROOT, fileURLToPath(url)).replace(/\.ts$/, ".js");
  const compiled = join(env.COMPILED_DIRECTORY ?? "", path);
  return existsSync(compiled) ? compiled : undefined;
}
