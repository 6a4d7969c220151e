// The EXIF block of a JPEG or WebP file, and the two texts in it that generators use. All reads are bounds-checked.

const USER_COMMENT = 0x9286;
const IMAGE_DESCRIPTION = 0x010e;
const EXIF_IFD = 0x8769;
const MAX_ENTRIES = 512;

const latin1 = new TextDecoder("latin1");

/** @param {Uint8Array} bytes */
export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8;

/** @param {Uint8Array} bytes */
export const isWebp = (bytes) => ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP";

/** @param {Uint8Array} bytes @param {number} from @param {number} to */
const ascii = (bytes, from, to) => latin1.decode(bytes.subarray(from, to));

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {Uint8Array} data  some writers keep the JPEG prefix inside other containers */
const withoutPrefix = (data) => (ascii(data, 0, 6) === "Exif\0\0" ? data.subarray(6) : data);

/**
 * @param {Uint8Array} bytes  of a file that isJpeg
 * @returns {Uint8Array | null} the TIFF structure inside APP1
 */
export function exifOfJpeg(bytes) {
  const view = viewOf(bytes);
  let offset = 2;
  while (offset + 4 <= bytes.length && bytes[offset] === 0xff) {
    const marker = bytes[offset + 1];
    const length = view.getUint16(offset + 2);
    if (marker === 0xda || length < 2) return null; // picture data begins: no more headers
    if (marker === 0xe1 && ascii(bytes, offset + 4, offset + 10) === "Exif\0\0") {
      return bytes.subarray(offset + 10, offset + 2 + length);
    }
    offset += 2 + length;
  }
  return null;
}

/**
 * @param {Uint8Array} bytes  of a file that isWebp
 * @returns {Uint8Array | null}
 */
export function exifOfWebp(bytes) {
  const view = viewOf(bytes);
  let offset = 12;
  while (offset + 8 <= bytes.length) {
    const length = view.getUint32(offset + 4, true);
    const data = bytes.subarray(offset + 8, offset + 8 + length);
    if (ascii(bytes, offset, offset + 4) === "EXIF") return withoutPrefix(data);
    offset += 8 + length + (length % 2);
  }
  return null;
}

/**
 * UTF-16 without a mark: the byte order of ASCII-range letters is where the zeros are.
 * @param {Uint8Array} data
 */
function decodeUtf16(data) {
  let zerosFirst = 0;
  for (let index = 0; index + 1 < data.length; index += 2)
    zerosFirst += Number(data[index] === 0) - Number(data[index + 1] === 0);
  return new TextDecoder(zerosFirst > 0 ? "utf-16be" : "utf-16le").decode(data);
}

/** @param {Uint8Array} data  a UserComment: eight bytes that name the encoding, then the text */
function decodeComment(data) {
  const body = data.subarray(8);
  const encoding = ascii(data, 0, 8);
  if (encoding === "UNICODE\0") return decodeUtf16(body);
  const known = encoding === "ASCII\0\0\0" || encoding === "\0\0\0\0\0\0\0\0";
  return new TextDecoder("utf-8").decode(known ? body : data);
}

/**
 * @param {Uint8Array} tiff
 * @returns {{comment: string | null, description: string | null}}
 */
export function readExif(tiff) {
  const data = withoutPrefix(tiff);
  const view = viewOf(data);
  const little = ascii(data, 0, 2) === "II";
  /** @type {Map<number, Uint8Array>} */
  const found = new Map();

  /** @param {number} offset */
  const directory = (offset) => {
    if (offset < 8 || offset + 2 > data.length) return;
    const count = Math.min(view.getUint16(offset, little), MAX_ENTRIES);
    for (let index = 0; index < count && offset + 14 + index * 12 <= data.length; index += 1)
      entry(offset + 2 + index * 12);
  };

  /** @param {number} at */
  const entry = (at) => {
    const tag = view.getUint16(at, little);
    const length = view.getUint32(at + 4, little);
    const value = view.getUint32(at + 8, little);
    if (tag === EXIF_IFD && !found.has(EXIF_IFD)) {
      found.set(EXIF_IFD, data); // once: a directory that points to itself would never end
      directory(value);
    }
    if (tag !== USER_COMMENT && tag !== IMAGE_DESCRIPTION) return;
    const start = length <= 4 ? at + 8 : value;
    if (start + length <= data.length) found.set(tag, data.subarray(start, start + length));
  };

  if (data.length >= 8 && (little || ascii(data, 0, 2) === "MM")) directory(view.getUint32(4, little));
  const comment = found.get(USER_COMMENT);
  const description = found.get(IMAGE_DESCRIPTION);
  return {
    comment: comment ? trimmed(decodeComment(comment)) : null,
    description: description ? trimmed(new TextDecoder("utf-8").decode(description)) : null,
  };
}

/** @param {string} text */
const trimmed = (text) => text.replace(/\0+$/, "").trim();
