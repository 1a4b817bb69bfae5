import { join } from "node:path";
import { Outbox } from "../../src/queue/outbox.ts";
import { openShop, SQLITE_LIBRARIES, type TestConnection } from "./sqlite_libraries.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A service's database with an outbox, in a directory of its own: `using shop = testShop();`. */
export interface TestShop extends Disposable {
  readonly directory: string;
  /** The database's file. */
  readonly path: string;
  readonly db: TestConnection;
  readonly outbox: Outbox<object>;
}

/** Opens one with the library that publishers and tests use, so that all may be in one process. */
export function testShop(): TestShop {
  const directory = temporaryDirectory();
  const path = join(directory.path, "shop.db");
  const db = openShop(SQLITE_LIBRARIES[0], path);
  const outbox = new Outbox<object>(db, (event) => Buffer.from(JSON.stringify(event)));
  return {
    directory: directory.path,
    path,
    db,
    outbox,
    [Symbol.dispose]: () => {
      outbox.close();
      db.close();
      directory[Symbol.dispose]();
    },
  };
}
