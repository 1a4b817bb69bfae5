/** What hosts send to their collector when all is well, on paper. */

/** What one host sends. */
export interface Load {
  readonly requestsPerS: number;
  /** Headers and compressed bodies, in bytes. */
  readonly bytesPerS: number;
  /** How many batches are on their way at a time, to a collector so far away: connections in use. */
  readonly inFlight: number;
}

/** Measured with events of 336 bytes at gzip level 1: what a request has without events, and what each event adds. */
const REQUEST_BYTES = 630;
const EVENT_BYTES = 119;

/** A full batch. */
const MAX_BATCH_EVENTS = 1_500;

/**
 * Events come at random moments. One that comes alone goes at once, those within `minIntervalS` of it go
 * together: a round takes that long, and if nothing came meanwhile, until the next event does.
 */
export function load(eventsPerS: number, minIntervalS: number, distanceS: number): Load {
  const nothingCame = Math.exp(-eventsPerS * minIntervalS);
  const perRoundS = minIntervalS + nothingCame / eventsPerS;
  const requestsPerS = Math.max(1 / perRoundS, eventsPerS / MAX_BATCH_EVENTS);
  const bytesPerS = requestsPerS * REQUEST_BYTES + eventsPerS * EVENT_BYTES;
  return { requestsPerS, bytesPerS, inFlight: Math.max(1, requestsPerS * distanceS) };
}
