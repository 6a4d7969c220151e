// Nothing is drawn anew under a pressed pointer.

/** @type {Element | null} what a pointer is pressed on */
let pressed = null;
/** @type {Map<HTMLElement, () => void>} what waits for its release */
const waiting = new Map();

document.addEventListener("pointerdown", ({ target }) => (pressed = /** @type {Element} */ (target)), true);
for (const end of ["pointerup", "pointercancel"]) {
  const release = () => {
    pressed = null;
    if (waiting.size) setTimeout(flush); // the click of this press comes first
  };
  document.addEventListener(end, release, true);
}

function flush() {
  const works = [...waiting.values()];
  waiting.clear();
  for (const work of works) work();
}

/**
 * Draw an element anew, but not under a pressed pointer: between press and release the pressed button would be another
 * one, and there would be no click.
 * @param {HTMLElement} element
 * @param {() => void} work
 */
export function afterPress(element, work) {
  if (element.contains(pressed)) waiting.set(element, work);
  else work();
}
