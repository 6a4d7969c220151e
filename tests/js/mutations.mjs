// Reads every picture of a pack with the page's own reader: `node mutations.mjs PACK`.
// A pack is one file after the other, each behind its length in four bytes, little-endian.
// Tells as JSON how many were read, how many refused with words, what else happened, and the longest time.

import { readFileSync } from "node:fs";

import { MetadataError, readMetadata } from "../../static/js/metadata.js";
import { rowsOf } from "../../static/js/restore.js";

const pack = readFileSync(process.argv[2]);
const told = { read: 0, empty: 0, refused: 0, thrown: 0, first: "", slowest_ms: 0 };

for (let offset = 0; offset < pack.length; ) {
  const length = pack.readUInt32LE(offset);
  const bytes = pack.subarray(offset + 4, offset + 4 + length);
  offset += 4 + length;
  const started = performance.now();
  try {
    const reading = await readMetadata(new Blob([bytes]));
    if (reading) rowsOf(reading);
    told[reading ? "read" : "empty"] += 1;
  } catch (error) {
    told[error instanceof MetadataError ? "refused" : "thrown"] += 1;
    if (!(error instanceof MetadataError)) told.first ||= String(error.stack);
  }
  told.slowest_ms = Math.max(told.slowest_ms, performance.now() - started);
}
console.log(JSON.stringify(told));
