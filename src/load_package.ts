import { ConfigurationError } from "./errors.ts";

/**
 * Loads code that needs an optional package, which `--omit` or a package manager without peer dependencies leaves out.
 *
 * @throws {ConfigurationError} the package is not installed; it says how to install it
 */
export async function loadPackage<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: string };
    if (code !== "ERR_MODULE_NOT_FOUND" || !message?.includes(name)) throw cause;
    const problem = `The package ${name} is not installed, and is needed here: run "npm install ${name}".`;
    throw new ConfigurationError(problem, {}, { cause });
  }
}
