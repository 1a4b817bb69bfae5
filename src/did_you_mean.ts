/** The most letters by which a misspelt word may differ; also at most half of its letters. */
const MAX_DISTANCE = 3;

/** A word of this length may be the beginning of the one that was meant, such as `timeout` of `timeoutMs`. */
const MIN_PREFIX_CHARS = 4;

/** The candidate that `word` most likely misspells or begins, if there is one: for "did you mean". */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const all = [...candidates];
  return (
    nearest(word, all) ??
    (word.length < MIN_PREFIX_CHARS ? undefined : all.find((one) => one.startsWith(word)))
  );
}

function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  const maxDistance = Math.min(MAX_DISTANCE, Math.floor(word.length / 2));
  let bestDistance = maxDistance + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > maxDistance) continue;
    const distance = editDistance(word, candidate);
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** The number of letters to insert, delete or replace to turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
