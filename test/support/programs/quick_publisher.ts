/**
 * `quick_publisher.ts WAITS ...`: src/commands/publisher.ts with shorter {@link waits}, as JSON, such as
 * `{"leaseMarginMs":100}`.
 *
 * @module
 */
import { argv } from "node:process";
import { waits } from "../../../src/publisher/waits.ts";

const [text = "{}"] = argv.splice(2, 1);
Object.assign(waits, JSON.parse(text));
await import("../../../src/commands/publisher.ts");
