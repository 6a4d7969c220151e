// Building elements. The only way text reaches the page is textContent and attributes; markup is never parsed.

const SVG = "http://www.w3.org/2000/svg";
const SETTLED_MS = 1000;

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown> & {on?: Record<string, (event: any) => void>, data?: Record<string, string>}} Props
 */

/**
 * @param {Element} element
 * @param {Props} props
 */
function decorate(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(props.on ?? {})) element.addEventListener(type, listener);
    } else if (name === "data") {
      for (const [key, text] of Object.entries(props.data ?? {})) element.setAttribute(`data-${key}`, text);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * An HTML element: `el("a", {href: "/", class: "button", on: {click}}, "Home")`.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  decorate(element, props);
  fill(element, ...children);
  return element;
}

/**
 * An SVG element.
 * @param {string} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  decorate(element, props);
  fill(element, ...children);
  return element;
}

/**
 * Replace what an element holds.
 * @template {Element} E
 * @param {E} element
 * @param {...Child} children
 * @returns {E}
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodesOf(children));
  return element;
}

/** @param {readonly Child[]} children */
const nodesOf = (children) =>
  children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));

/**
 * Replace what an element holds, but for what it holds already: whoever types there types on.
 * @param {Element} element
 * @param {Node[]} nodes
 */
function settle(element, nodes) {
  for (const node of [...element.childNodes]) if (!nodes.includes(node)) node.remove();
  nodes.forEach((node, index) => {
    const there = element.childNodes[index] ?? null;
    if (there !== node) element.insertBefore(node, there);
  });
}

/** What a control is called. @param {Element | null} control */
const nameOf = (control) => control?.getAttribute("aria-label") ?? control?.textContent ?? null;

/**
 * Replace what an element holds; the focus stays on the control of the same name, or else goes to `home`, and a menu of
 * the same name stays open.
 * @param {HTMLElement} element
 * @param {HTMLElement} home
 * @param {...Child} children
 */
export function refill(element, home, ...children) {
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const summaries = () => [...element.querySelectorAll("details > summary")];
  const menuOf = (/** @type {Element} */ summary) => /** @type {HTMLDetailsElement} */ (summary.parentElement);
  const opened = new Set(summaries().filter((summary) => menuOf(summary).open).map(nameOf));
  settle(element, nodesOf(children));
  for (const summary of summaries()) if (opened.has(nameOf(summary))) menuOf(summary).open = true;
  if (focused === null || element.contains(document.activeElement)) return;
  const controls = [...element.querySelectorAll("a, button, summary")];
  const control = controls.find((candidate) => nameOf(candidate) === focused) ?? home;
  /** @type {HTMLElement} */ (control).focus({ preventScroll: true });
}

/**
 * A drawing of the sprite in the page's markup.
 * @param {string} name
 * @param {string} [className]
 */
export function icon(name, className = "icon") {
  return svg(
    "svg",
    { class: className, "aria-hidden": "true", focusable: "false" },
    svg("use", { href: `#i-${name}` }),
  );
}

/**
 * @param {HTMLElement} button
 * @param {string} name
 */
export function setIcon(button, name) {
  button.querySelector("use")?.setAttribute("href", `#i-${name}`);
}

/**
 * The element with this id; a template without it is a programming error and fails loudly.
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}`);
  return /** @type {E} */ (element);
}

/**
 * Whether a key belongs to an input method, such as one for Japanese. Safari sends the key that ends its work after the
 * end of it, told apart by this code alone.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * Give an element its picture's shape; CSS does the rest with --w and --h.
 * @template {HTMLElement} E
 * @param {E} element
 * @param {number} width
 * @param {number} height
 * @returns {E}
 */
export function shaped(element, width, height) {
  element.style.setProperty("--w", String(width));
  element.style.setProperty("--h", String(height));
  return element;
}

/**
 * @param {Props & {icon?: string, label?: string}} props
 * @param {string} [text]
 */
export function button({ icon: name, label, ...props }, text) {
  const named = label ? { "aria-label": label, title: label } : {};
  return el("button", { type: "button", class: "button", ...named, ...props }, name && icon(name), text);
}

/**
 * Of what is said in the form: above the bar with Generate, which lies over the form's end. It stays there when what is
 * known a moment later, such as whether a size fits, takes its place.
 * @param {HTMLElement} line
 */
export function bringIntoSight(line) {
  const form = line.closest("form");
  const show = () => {
    line.style.scrollMarginBlockEnd = `${form?.querySelector(".actions")?.clientHeight ?? 0}px`; // as high as its queue
    line.scrollIntoView({ block: "nearest" });
  };
  show();
  const watch = new ResizeObserver(show);
  for (const part of form?.children ?? []) watch.observe(part);
  setTimeout(() => watch.disconnect(), SETTLED_MS);
}
