import { join } from "node:path";
import { EventTable } from "../../src/storage/events.ts";
import { LeaseTable } from "../../src/storage/leases.ts";
import { QueueFile } from "../../src/storage/queue_file.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A queue file of its own for a test, seen from both ends. */
export interface TestQueue extends Disposable {
  readonly directory: string;
  readonly file: QueueFile;
  readonly events: EventTable;
  readonly leases: LeaseTable;
}

/** Opens one: `using queue = testQueue();`. Leases last `leaseMs`, in milliseconds; the directory is a new one unless given. */
export function testQueue(options: { leaseMs?: number; directory?: string } = {}): TestQueue {
  const { leaseMs = 60_000, directory } = options;
  const temporary = temporaryDirectory();
  const path = directory ?? temporary.path;
  const file = QueueFile.open(join(path, "events-main.db"), { role: "publisher" });
  return {
    directory: path,
    file,
    events: new EventTable(file),
    leases: new LeaseTable(file, leaseMs),
    [Symbol.dispose]: () => {
      file.close();
      temporary[Symbol.dispose]();
    },
  };
}

/** `count` small events: `e1`, `e2`, ... */
export function putEvents(events: EventTable, count: number): void {
  events.putMany(Array.from({ length: count }, (_, index) => Buffer.from(`e${index + 1}`)));
}
