// How much of a picture is drawn anew, in words. What the words say was seen in docs/editing.md's pictures.

export const LOWEST = 0.1;
export const STEP = 0.05;

/** The strengths of which there are pictures. */
export const SHOWN = [0.3, 0.5, 0.7, 0.9];

/** @type {[number, string, string][]} up to this strength: a name, and what it does */
const WORDS = [
  [0.25, "Barely", "Only the finest strokes change."],
  [0.4, "A little", "Everything stays where it is; fine strokes change."],
  [0.6, "Half", "What is there stays, and colours begin to follow the words."],
  [0.8, "Much", "The arrangement stays; things become what the words say."],
  [0.95, "Nearly all", "Little stays but where light and dark are."],
  [1, "All", "Nothing of the picture is kept: it is drawn anew from the words."],
];

/** @param {number} strength @returns {{name: string, meaning: string}} */
export function strengthWords(strength) {
  const [, name, meaning] = WORDS.find(([limit]) => strength <= limit + 1e-9) ?? WORDS[WORDS.length - 1];
  return { name, meaning };
}

/** @param {number} strength @returns {number} the nearest one of which there is a picture */
export const nearestShown = (strength) =>
  SHOWN.reduce((best, shown) => (Math.abs(shown - strength) < Math.abs(best - strength) ? shown : best));
