import assert from "node:assert/strict";
import { test } from "node:test";
import { type IniDocument, parseIni } from "../../../src/config/ini.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import fc from "../../support/fast_check.ts";

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

test("values, colons, sections and continuation lines are read as Python reads them, unlike npm's parsers", () => {
  // The npm package `ini` makes of this `{"a:b": {c: {key: "x", "path: /y": true, "more": true}}}`.
  const text = "[a:b.c]\nkey = x#y ; z\npath: /y\n  more\n";
  assert.deepEqual(valuesOf(text, "a:b.c"), { key: "x#y ; z", path: "/y\nmore" });
});

test("a key ends at the first = or :", () => {
  assert.deepEqual(valuesOf("[s]\na = b=c:d\ne:f=g\n", "s"), { a: "b=c:d", e: "f=g" });
});

test("quotes, percent signs and backslashes are part of the value", () => {
  assert.deepEqual(valuesOf('[s]\na = "b" %(c)s \\n\n', "s"), { a: '"b" %(c)s \\n' });
});

test("options are found by lower-cased name, and have the written name and the line", () => {
  const option = parseIni("\n# comment\n[s]\n\nKey.NAME = v\n").sections.get("s")?.get("key.name");
  assert.deepEqual(option, { name: "Key.NAME", value: "v", line: 5 });
});

test("indented lines are joined by line feeds, with empty lines and without comments", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\n  2\n# c\n  ; d\n\n  3\n\n\nb=4\n", "s"), {
    a: "1\n2\n\n3",
    b: "4",
  });
});

test("a continuation is indented more than its option", () => {
  assert.deepEqual(valuesOf("[s]\n  a = 1\n  b = 2\n   c = 3\n", "s"), { a: "1", b: "2\nc = 3" });
});

test("an indented line after a header is an option", () => {
  assert.deepEqual(valuesOf("[s]\n   a = 1\n", "s"), { a: "1" });
});

test("a value may start on the line after its key", () => {
  assert.deepEqual(valuesOf("[s]\na =\n  v\n", "s"), { a: "\nv" });
});

test("an indented [header] inside a value is text", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\n [t]\n", "s"), { a: "1\n[t]" });
});

test("a header ends at the last bracket, and the rest is ignored", () => {
  assert.deepEqual([...parseIni("[ s ]\n[a]b]c # d\n").sections.keys()], [" s ", "a]b"]);
});

test("[DEFAULT] is separate, and may occur twice", () => {
  const { defaults, sections } = parseIni("[DEFAULT]\na=1\n[s]\n[DEFAULT]\nb=2\n");
  assert.deepEqual([...defaults.keys()], ["a", "b"]);
  assert.deepEqual([...sections.keys()], ["s"]);
});

test("CRLF, CR and LF end lines", () => {
  for (const end of ["\r\n", "\r", "\n"]) {
    assert.deepEqual(valuesOf(["[s]", "a=1", " 2", "b=3"].join(end), "s"), { a: "1\n2", b: "3" });
  }
});

test("white space is what Python strips", () => {
  assert.deepEqual(valuesOf("[s]\na\x1c=\x85 b\u3000\x1f\nc =\ufeffd\ufeff\n", "s"), {
    a: "b",
    c: "\ufeffd\ufeff",
  });
});

test("a form feed or a line separator does not end a line", () => {
  assert.deepEqual(valuesOf("[s]\na = 1\f2\u20283\n", "s"), { a: "1\f2\u20283" });
});

for (const [what, text, line, section] of [
  ["an option before any header", "# c\na=1\n", 2, undefined],
  ["a duplicate section", "[s]\na=1\n[s]\n", 3, "s"],
  ["a duplicate option, in upper or lower case", "[s]\na=1\nb=2\nA=3\n", 4, "s"],
  ["a duplicate option in [DEFAULT]", "[DEFAULT]\na=1\n[DEFAULT]\na=2\n", 4, "DEFAULT"],
  ["an option without a value", "[s]\na=1\nlonely\n", 3, "s"],
  ["a value without an option", "[s]\n = v\n", 2, "s"],
  ["an empty header", "[s]\n[]\n", 2, "s"],
  ["a byte order mark", "\ufeff[s]\n", 1, undefined],
] as const) {
  test(`${what} is rejected with its line`, () => {
    const { location } = rejection(text);
    assert.equal(location.line, line);
    assert.equal(location.section, section);
    assert.equal(location.file, "f.ini");
  });
}

test("the error about a byte order mark says what to do", () => {
  assert.match(rejection("\ufeff[s]\n").message, /byte order mark: save it without/);
});

test("a rejected line is never shown: it could be the rest of a secret", () => {
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

test("any text is read, or rejected with the line", () => {
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

test("values with indented lines are read back as they were written", () => {
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
