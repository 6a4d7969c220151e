// Text and EXIF chunks of a PNG file. Bounded: a hostile file costs at most MAX_TEXT_BYTES of memory per chunk.

export const MAX_TEXT_BYTES = 1_000_000;
const MAX_CHUNKS = 20_000;
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder("utf-8");

/** @param {Uint8Array} bytes */
export const isPng = (bytes) => SIGNATURE.every((value, index) => bytes[index] === value);

/**
 * Inflate, stopping as soon as the result is too large to be a prompt.
 * @param {Uint8Array} data
 * @returns {Promise<Uint8Array>}
 */
async function inflate(data) {
  const stream = new Blob([/** @type {BlobPart} */ (data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > MAX_TEXT_BYTES) {
      await reader.cancel();
      throw new RangeError("a text chunk is too large once unpacked");
    }
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * The part before the next zero byte, and what follows it.
 * @param {Uint8Array} data
 * @returns {[Uint8Array, Uint8Array]}
 */
function splitAtZero(data) {
  const end = data.indexOf(0);
  return end < 0 ? [data, data.subarray(data.length)] : [data.subarray(0, end), data.subarray(end + 1)];
}

/**
 * @param {string} type
 * @param {Uint8Array} data
 * @returns {Promise<[string, string]>} keyword and text
 */
async function decodeText(type, data) {
  const [keyword, rest] = splitAtZero(data);
  const name = latin1.decode(keyword);
  if (type === "tEXt") return [name, latin1.decode(rest)];
  if (type === "zTXt") return [name, latin1.decode(await inflate(rest.subarray(1)))];
  const compressed = rest[0] === 1;
  const [, afterLanguage] = splitAtZero(rest.subarray(2));
  const [, body] = splitAtZero(afterLanguage);
  return [name, utf8.decode(compressed ? await inflate(body) : body)];
}

/**
 * @param {Uint8Array} bytes
 * @returns {Generator<{type: string, data: Uint8Array}>} stops where the file is cut off
 */
function* chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = SIGNATURE.length;
  for (let count = 0; count < MAX_CHUNKS && offset + 12 <= bytes.length; count += 1) {
    const length = view.getUint32(offset);
    const type = latin1.decode(bytes.subarray(offset + 4, offset + 8));
    if (offset + 12 + length > bytes.length) return;
    yield { type, data: bytes.subarray(offset + 8, offset + 8 + length) };
    if (type === "IEND") return;
    offset += 12 + length;
  }
}

/**
 * @param {Uint8Array} bytes  of a file that isPng
 * @returns {Promise<{texts: Map<string, string>, exif: Uint8Array | null, skipped: string[]}>}
 *   the first text of each keyword; `skipped`: why chunks were left out
 */
export async function readPng(bytes) {
  const texts = new Map();
  const skipped = [];
  let exif = null;
  for (const { type, data } of chunks(bytes)) {
    if (type === "eXIf") exif = data;
    if (type !== "tEXt" && type !== "zTXt" && type !== "iTXt") continue;
    if (data.length > MAX_TEXT_BYTES) {
      skipped.push("a text chunk is larger than 1 MB");
      continue;
    }
    try {
      const [name, text] = await decodeText(type, data);
      if (!texts.has(name)) texts.set(name, text);
    } catch (error) {
      skipped.push(error instanceof RangeError ? error.message : "a text chunk is damaged");
    }
  }
  return { texts, exif, skipped };
}
