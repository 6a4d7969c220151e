// A mask as a PNG file. Not through a canvas: some browsers change what is read from one a little, to keep people from
// being recognised by it, and a mask with single stray pixels would repaint other places.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/** @param {Uint8Array} bytes */
function crcOf(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRCS[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** @param {string} type @param {Uint8Array} content @returns {Uint8Array} */
function chunk(type, content) {
  const made = new Uint8Array(content.length + 12);
  const view = new DataView(made.buffer);
  view.setUint32(0, content.length);
  made.set(new TextEncoder().encode(type), 4);
  made.set(content, 8);
  view.setUint32(content.length + 8, crcOf(made.subarray(4, content.length + 8)));
  return made;
}

/** @param {number} width @param {number} height */
function header(width, height) {
  const content = new Uint8Array(13);
  const view = new DataView(content.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  content[8] = 8; // bits of grey
  return content;
}

/** @param {number} width @param {number} height @param {Uint8Array} grey  a byte a pixel, row after row */
function filteredRows(width, height, grey) {
  const rows = new Uint8Array((width + 1) * height); // each begins with the number of its filter: 0, none
  for (let y = 0; y < height; y += 1) rows.set(grey.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  return rows;
}

/**
 * @param {{width: number, height: number, data: Uint8Array}} grey
 * @returns {Promise<Blob>}
 */
export async function pngOf({ width, height, data }) {
  const rows = new Blob([filteredRows(width, height, data)]).stream();
  const packed = await new Response(rows.pipeThrough(new CompressionStream("deflate"))).arrayBuffer();
  const chunks = [
    chunk("IHDR", header(width, height)),
    chunk("IDAT", new Uint8Array(packed)),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks], { type: "image/png" });
}

/**
 * A mask that the server keeps, in the size in which one is painted.
 * @param {string} url @param {{width: number, height: number}} size
 * @returns {Promise<(index: number) => boolean>} whether a pixel is marked
 */
export async function maskAt(url, { width, height }) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const paper = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  paper.drawImage(picture, 0, 0, width, height);
  const { data } = paper.getImageData(0, 0, width, height);
  return (index) => data[4 * index] > 127;
}
