// How several pictures of one shape fill the stage.

/**
 * Columns and rows that make the pictures largest; of equal ones, those that leave fewer places empty.
 * @param {number} count
 * @param {number} shape  width of a picture divided by its height
 * @param {{width: number, height: number}} stage  px
 * @param {number} gap  px
 * @returns {{columns: number, rows: number}}
 */
export function bestGrid(count, shape, stage, gap) {
  let best = { columns: 1, rows: count, width: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const across = (stage.width - (columns - 1) * gap) / columns;
    const down = ((stage.height - (rows - 1) * gap) / rows) * shape;
    const width = Math.min(across, down);
    const tidier = width > best.width * 0.99 && columns * rows < best.columns * best.rows;
    if (width > best.width * 1.01 || tidier) best = { columns, rows, width };
  }
  return { columns: best.columns, rows: best.rows };
}

const GAP_PX = 12; // --gap of .batch
const PHONE_SHAPE = 1.2; // there the stage is as high as what it shows: this many times its width, if that can be

const LEAST_PX = 72; // of a cell that stays in its column

/**
 * Keep a list of pictures arranged while the stage changes its size: in their own columns and rows where they have such
 * and there is room.
 * @param {HTMLElement} list
 * @param {number} count
 * @param {number} shape
 * @param {{columns: number, rows: number} | null} own
 */
export function keepArranged(list, count, shape, own = null) {
  const arrange = () => {
    const body = list.parentElement;
    if (!body) return;
    const style = getComputedStyle(body);
    const width = body.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const inside = body.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const height = style.containerType === "size" ? inside : width * PHONE_SHAPE;
    const fits = own && own.columns > 1 && (width - (own.columns - 1) * GAP_PX) / own.columns >= LEAST_PX;
    const { columns, rows } = fits ? own : bestGrid(count, shape, { width, height }, GAP_PX);
    list.style.setProperty("--columns", String(columns));
    list.style.setProperty("--rows", String(rows));
  };
  const watch = new ResizeObserver(() => (list.isConnected ? arrange() : watch.disconnect()));
  requestAnimationFrame(() => list.parentElement && watch.observe(list.parentElement)); // which calls at once
}
