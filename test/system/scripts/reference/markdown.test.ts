import assert from "node:assert/strict";
import { test } from "node:test";
import { anchorOf, firstSentence, splitDefault, table } from "../../../../scripts/reference/markdown.ts";

test("names a heading in links as GitHub does", () => {
  assert.equal(anchorOf("EventQueue.putMany"), "eventqueueputmany");
  assert.equal(anchorOf("new EventQueue"), "new-eventqueue");
  assert.equal(anchorOf("MAX_EVENT_BYTES"), "max_event_bytes");
});

test("takes the default out of a docstring", () => {
  const of = (text: string): [string, string] => [splitDefault(text).meaning, splitDefault(text).fallback];
  assert.deepEqual(of("How long. Default: 1 s."), ["How long.", "1 s"]);
  assert.deepEqual(of("The mode. Default `0o600`. A file keeps its mode."), [
    "The mode. A file keeps its mode.",
    "`0o600`",
  ]);
  assert.deepEqual(of("Where. Default: `$A`, else `~/.local`."), ["Where.", "`$A`, else `~/.local`"]);
  assert.deepEqual(of("What baseplate.py has by default."), ["What baseplate.py has by default.", ""]);
});

test("sums a docstring up in its first sentence", () => {
  assert.equal(firstSentence("Closes the\nfile. Twice is fine."), "Closes the file");
  assert.equal(firstSentence("`ok`: events flow"), "`ok`: events flow");
  const long = `What happens to an event that is rejected: ${"it is halved, ".repeat(9)}and so on.`;
  assert.equal(firstSentence(long), "What happens to an event that is rejected");
});

test("keeps the cells of a table on one line", () => {
  assert.equal(table(["a"], [['`"x" | "y"`\nor\n\n- z']]), '| a |\n| --- |\n| `"x" \\| "y"` or<br>- z |');
});
