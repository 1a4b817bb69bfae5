#!/usr/bin/env node
/** `eventspool-thrift`: generates the code of a Thrift IDL. */
import { rejectOldRuntime } from "../runtime.ts";

rejectOldRuntime("eventspool-thrift");
const { runThrift } = await import("./thrift_code.ts"); // only now, since an old runtime may fail to load it
await runThrift();
