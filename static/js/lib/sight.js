// What is said in the form is seen, and not below the bar with Generate, which lies over the form's end.

/** @param {HTMLElement} line */
export function bringIntoSight(line) {
  const bar = document.querySelector(".actions");
  line.style.scrollMarginBlockEnd = `${bar?.clientHeight ?? 0}px`; // its height is that of the queue in it, too
  line.scrollIntoView({ block: "nearest" });
}
