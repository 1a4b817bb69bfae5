/**
 * The ids of some of a batch's events.
 *
 * @module
 */
import type { EventIds, IdRange } from "./event_ids.ts";

/** The ids of those events for which `isWanted` holds, by their index. */
export function selectIds({ queue, ranges }: EventIds, isWanted: (index: number) => boolean): EventIds {
  const wanted: IdRange[] = [];
  let index = 0;
  for (const { firstId, lastId } of ranges) {
    let from = firstId;
    for (let id = firstId; id <= lastId; id++) {
      if (isWanted(index++)) continue;
      if (id > from) wanted.push({ firstId: from, lastId: id - 1 });
      from = id + 1;
    }
    if (from <= lastId) wanted.push({ firstId: from, lastId });
  }
  return {
    queue,
    ranges: wanted,
    count: wanted.reduce((sum, range) => sum + range.lastId - range.firstId + 1, 0),
  };
}
