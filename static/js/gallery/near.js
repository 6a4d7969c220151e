// Prints far from what is in sight are bare: frames that keep their place, without what is in them. A browser looks at
// every picture of a page whenever it lays something out, and thousands of them took most of a frame.

import { equip, strip } from "./tools.js";

const GROUP = 12; // prints that come and go together: two rows of a large window
const AT_ONCE = 4; // prints that are filled in one frame, so that none takes long
const MARGIN = "100%"; // of what is in sight, above and below; less than that at which browsers leave out whole days

/** @type {Set<Element>} leaders of groups that are to be seen soon */
const coming = new Set();
let asked = false;

/** Those from the one that leads them to the next that leads. @param {Element} leader */
function groupOf(leader) {
  const group = [leader];
  for (let next = leader.nextElementSibling; next && !leads(next); next = next.nextElementSibling) group.push(next);
  return group;
}

/** @param {Element} item */
const leads = (item) => item.hasAttribute("data-leads");

/** @param {Element} item */
const isBare = (item) => item.classList.contains("bare");

/** The leader of those before, who may be of the day before. @param {Element} leader @returns {Element | null} */
function leaderBefore(leader) {
  let item = leader.previousElementSibling ?? leader.closest(".day")?.previousElementSibling?.querySelector("ul")?.lastElementChild;
  while (item && !leads(item)) item = item.previousElementSibling;
  return item ?? null;
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.sort((a, b) => offCentre(a) - offCentre(b))) onCrossing(entry);
    askForFrame();
  },
  { rootMargin: `${MARGIN} 0px` },
);

/** What is in sight comes before what is around it. @param {IntersectionObserverEntry} entry */
const offCentre = ({ boundingClientRect }) => Math.abs(boundingClientRect.top - innerHeight / 2);

/** A leader is the upper end of its group, and the lower end of the group before. @param {IntersectionObserverEntry} entry */
function onCrossing({ target, isIntersecting, boundingClientRect, rootBounds }) {
  const before = leaderBefore(target);
  if (isIntersecting) {
    coming.add(target);
    if (before && groupOf(before).some(isBare)) coming.add(before); // the focus may keep one of them
  } else if (rootBounds && boundingClientRect.top < rootBounds.top) {
    if (before) leave(before);
    const last = groupOf(target).at(-1);
    if (last && last.getBoundingClientRect().bottom < rootBounds.top) leave(target);
  } else {
    leave(target);
  }
}

/** @param {Element} leader */
function leave(leader) {
  coming.delete(leader);
  for (const item of groupOf(leader)) if (!item.contains(document.activeElement)) hide(item);
}

function askForFrame() {
  if (asked || !coming.size) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const [leader] = coming;
    const bare = leader ? groupOf(leader).filter(isBare) : [];
    bare.slice(0, AT_ONCE).forEach(reveal);
    if (bare.length <= AT_ONCE) coming.delete(leader);
    askForFrame();
  });
}

/** Whatever is in it, now. @param {Element} item */
export function reveal(item) {
  const picture = item.querySelector("img");
  if (picture?.dataset.src) {
    picture.src = picture.dataset.src;
    delete picture.dataset.src;
  }
  item.classList.remove("bare");
  equip(item);
}

/** @param {Element} item */
function hide(item) {
  item.classList.add("bare");
  strip(item);
}

/** @param {Element} item */
function lead(item) {
  item.setAttribute("data-leads", "");
  watcher.observe(item);
}

/** It has got its place among the others. @param {Element} item */
export function enter(item) {
  if (leads(item)) return;
  let leader = item.previousElementSibling;
  for (let length = 1; leader && !leads(leader) && length < GROUP; length += 1) leader = leader.previousElementSibling;
  const follows = leader && leads(leader);
  if (!follows) lead(item);
  if (isBare(follows ? leader : item)) hide(item);
  else reveal(item);
}

/** It is going to leave, and another leads those that follow it. @param {Element} item */
export function exit(item) {
  if (!leads(item)) return;
  watcher.unobserve(item);
  coming.delete(item);
  item.removeAttribute("data-leads");
  const next = item.nextElementSibling;
  if (next && !leads(next)) lead(next);
}
