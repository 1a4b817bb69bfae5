/**
 * `file_opener.ts UID PATH ...` opens files as a user, a path that ends with "+" to append, and prints the explanation of
 * each error. The user is the process's: where test files share one, all would become this user.
 */
import { openSync } from "node:fs";
import process from "node:process";
import { explainFileError } from "../../../src/file_error.ts";

const [uid, ...paths] = process.argv.slice(2);
process.seteuid?.(Number(uid));
for (const name of paths) {
  const path = name.replace(/\+$/, "");
  try {
    openSync(path, path === name ? "r" : "a");
    console.log("opened");
  } catch (error) {
    console.log(explainFileError(error, path));
  }
}
