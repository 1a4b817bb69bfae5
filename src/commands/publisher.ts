#!/usr/bin/env node
/** `eventspool-publisher`, or `bun run publisher` in a clone: the same as `eventspool publisher`. */
import { rejectOldRuntime } from "../runtime.ts";

rejectOldRuntime("eventspool-publisher");
const { runPublisher } = await import("./services.ts"); // only now, since an old runtime may fail to load it
await runPublisher();
