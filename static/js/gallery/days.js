// Dates as people say them, and shapes as the style sheet knows them.

const long = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The day of a time where the reader is: "2026-11-29". @param {string} time */
export function dayOf(time) {
  const date = new Date(time);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** @param {string} day  as `dayOf` has it */
export function dayTitle(day) {
  const now = new Date();
  if (day === dayOf(now.toISOString())) return "Today";
  now.setDate(now.getDate() - 1);
  if (day === dayOf(now.toISOString())) return "Yesterday";
  return long.format(new Date(`${day}T12:00:00`));
}

/** @param {string} time */
export const momentOf = (time) => moment.format(new Date(time));

/** Width to height of the frames that there are; the same as in server/templating.py and prints.css. */
const SHAPES = [0.5, 0.56, 0.67, 0.75, 1, 1.33, 1.5, 1.78, 2];

/** The frame that is nearest to a picture's shape. @param {number} width @param {number} height */
export function frameOf(width, height) {
  const wanted = Math.log(width / height);
  const off = (/** @type {number} */ shape) => Math.abs(Math.log(shape) - wanted);
  return String(SHAPES.reduce((best, shape) => (off(shape) < off(best) ? shape : best)));
}
