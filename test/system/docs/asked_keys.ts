import { ConfigSection } from "../../../src/config/config_section.ts";

/** The keys that a configuration asks for while it is parsed. */
export function askedKeys(parse: () => unknown): Set<string> {
  const keys = new Set<string>();
  const { read, has } = ConfigSection.prototype;
  ConfigSection.prototype.read = function (key, parse, options) {
    keys.add(key);
    return read.call(this, key, parse, options) as never;
  };
  ConfigSection.prototype.has = function (key) {
    keys.add(key);
    return has.call(this, key);
  };
  try {
    parse();
  } finally {
    Object.assign(ConfigSection.prototype, { read, has });
  }
  return keys;
}
