import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type IniDocument, parseIni } from "../../../src/config/ini.ts";
import { ConfigurationError } from "../../../src/errors.ts";

function valuesOf(text: string, section: string): Record<string, string> {
  const options = parseIni(text).sections.get(section) ?? new Map();
  return Object.fromEntries([...options].map(([key, { value }]) => [key, value]));
}

function rejection(text: string): ConfigurationError {
  try {
    parseIni(text, { file: "f.ini" });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error;
  }
  return assert.fail(`read ${JSON.stringify(text)}`);
}

test("reads what npm's INI parsers read otherwise: # and ; in values, colons, dots in sections, continuation", () => {
  // The npm package `ini` makes of this `{"a:b": {c: {key: "x", "path: /y": true, "more": true}}}`.
  const text = "[a:b.c]\nkey = x#y ; z\npath: /y\n  more\n";
  assert.deepEqual(valuesOf(text, "a:b.c"), { key: "x#y ; z", path: "/y\nmore" });
});

test("ends a key at the first = or :, and keeps the others in the value", () => {
  assert.deepEqual(valuesOf("[s]\na = b=c:d\ne:f=g\n", "s"), { a: "b=c:d", e: "f=g" });
});

test("keeps quotes, percent signs and backslashes as they are", () => {
  assert.deepEqual(valuesOf('[s]\na = "b" %(c)s \\n\n', "s"), { a: '"b" %(c)s \\n' });
});

test("finds options by lower-cased name and remembers how the name was written, and its line", () => {
  const option = parseIni("\n# comment\n[s]\n\nKey.NAME = v\n").sections.get("s")?.get("key.name");
  assert.deepEqual(option, { name: "Key.NAME", value: "v", line: 5 });
});

test("joins indented lines with line feeds, drops comments between them and keeps empty lines", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\n  2\n# c\n  ; d\n\n  3\n\n\nb=4\n", "s"), {
    a: "1\n2\n\n3",
    b: "4",
  });
});

test("measures a continuation against the indent of the option above", () => {
  assert.deepEqual(valuesOf("[s]\n  a = 1\n  b = 2\n   c = 3\n", "s"), { a: "1", b: "2\nc = 3" });
});

test("takes an indented line after a header for an option", () => {
  assert.deepEqual(valuesOf("[s]\n   a = 1\n", "s"), { a: "1" });
});

test("starts a value on the line after its key", () => {
  assert.deepEqual(valuesOf("[s]\na =\n  v\n", "s"), { a: "\nv" });
});

test("takes an indented [header] inside a value for text", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\n [t]\n", "s"), { a: "1\n[t]" });
});

test("reads a header up to the last bracket and passes over what follows", () => {
  assert.deepEqual([...parseIni("[ s ]\n[a]b]c # d\n").sections.keys()], [" s ", "a]b"]);
});

test("keeps [DEFAULT] apart, also if it stands there twice", () => {
  const { defaults, sections } = parseIni("[DEFAULT]\na=1\n[s]\n[DEFAULT]\nb=2\n");
  assert.deepEqual([...defaults.keys()], ["a", "b"]);
  assert.deepEqual([...sections.keys()], ["s"]);
});

test("reads CRLF, CR and LF line ends alike", () => {
  for (const end of ["\r\n", "\r", "\n"]) {
    assert.deepEqual(valuesOf(["[s]", "a=1", " 2", "b=3"].join(end), "s"), { a: "1\n2", b: "3" });
  }
});

test("strips what Python calls white space, which is not what JavaScript does", () => {
  assert.deepEqual(valuesOf("[s]\na\x1c=\x85 b\u3000\x1f\nc =\ufeffd\ufeff\n", "s"), {
    a: "b",
    c: "\ufeffd\ufeff",
  });
});

test("does not end a line at a form feed or a line separator", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\f2\u20283\n", "s"), { a: "1\f2\u20283" });
});

for (const [what, text, line, section] of [
  ["an option before any header", "# c\na=1\n", 2, undefined],
  ["a section that stands there twice", "[s]\na=1\n[s]\n", 3, "s"],
  ["an option that stands there twice, in any case of letters", "[s]\na=1\nb=2\nA=3\n", 4, "s"],
  ["an option that stands twice in [DEFAULT]", "[DEFAULT]\na=1\n[DEFAULT]\na=2\n", 4, "DEFAULT"],
  ["an option without a value", "[s]\na=1\nlonely\n", 3, "s"],
  ["a value without an option", "[s]\n = v\n", 2, "s"],
  ["an empty header", "[s]\n[]\n", 2, "s"],
  ["a byte order mark", "\ufeff[s]\n", 1, undefined],
] as const) {
  test(`rejects ${what} and names its line`, () => {
    const { location } = rejection(text);
    assert.equal(location.line, line);
    assert.equal(location.section, section);
    assert.equal(location.file, "f.ini");
  });
}

test("says how to mend a byte order mark", () => {
  assert.match(rejection("\ufeff[s]\n").message, /byte order mark: save it without/);
});

test("never shows a line that it rejects: it could be the rest of a secret", () => {
  assert.doesNotMatch(rejection("[s]\nkey.secret = aHVu\ndGVyMg\n").message, /dGVyMg/);
});

/** Any document, with the awkward parts of the dialect more often than chance would have them. */
const anyIni = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "[s]",
        "[DEFAULT]",
        "[",
        "]",
        "=",
        ":",
        "#",
        ";",
        "\n",
        "\r\n",
        "\r",
        "\n  ",
        "\t",
        "\ufeff",
        "\x85",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(""));

test("reads any text, or rejects it with the line", () => {
  fc.assert(
    fc.property(anyIni, (text) => {
      let document: IniDocument;
      try {
        document = parseIni(text);
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, String(error));
        assert.ok(error.location.line !== undefined && error.location.line >= 1);
        return;
      }
      for (const options of [document.defaults, ...document.sections.values()]) {
        for (const [key, { name, value, line }] of options) {
          assert.equal(key, name.toLowerCase());
          assert.ok(line >= 1 && !/[=:]/.test(name) && !/\r/.test(value));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

const word = fc.stringMatching(/^[a-z][a-z._]{0,8}$/);
const line = fc.stringMatching(/^[!-~][ -~]{0,20}$/).map((text) => text.trimEnd());
/** Lines of a value, but for those that would be comments or are empty. */
const value = fc.array(
  line.filter((text) => !/^[#;]/.test(text)),
  { minLength: 1, maxLength: 3 },
);

test("reads back whatever is written as key = value with indented lines", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(word, value), { selector: ([key]) => key, maxLength: 8 }),
      (entries) => {
        const text = entries
          .map(([key, lines]) => `${key} = ${lines.join("\n    ")}\n`)
          .join("; comment\n\n");
        assert.deepEqual(
          valuesOf(`[a:b]\n${text}`, "a:b"),
          Object.fromEntries(entries.map(([key, lines]) => [key, lines.join("\n")])),
        );
      },
    ),
  );
});
