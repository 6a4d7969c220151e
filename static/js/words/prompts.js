// Prompts to come back to: those that were saved, and those that were drawn last. Kept by this browser.

import { byId, button, el, fill } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { toast } from "../lib/toast.js";
import { recentPrompts } from "./history.js";

const MOST_SAVED = 200;
const RECENT = 10;
const LEAST_WORDS = "Write a prompt first, then save it.";

/** @type {{read: () => string, write: (text: string) => void}} */
let field = { read: () => "", write: () => undefined };

/** @returns {string[]} newest first */
const saved = () => remembered("saved-prompts", []);

/** @param {string[]} prompts */
function keep(prompts) {
  remember("saved-prompts", prompts.slice(0, MOST_SAVED));
  show();
}

function save() {
  const prompt = field.read().trim();
  if (!prompt) return toast(LEAST_WORDS);
  return keep([prompt, ...saved().filter((other) => other !== prompt)]);
}

/** @param {string} prompt @param {boolean} removable */
function row(prompt, removable) {
  const use = el("button", { type: "button", class: "kept", dir: "auto", title: prompt, on: { click: () => field.write(prompt) } }, prompt);
  const remove = button({
    icon: "close",
    label: `Remove “${prompt.slice(0, 60)}”`,
    class: "button quiet small square",
    on: {
      click: () => {
        keep(saved().filter((other) => other !== prompt));
        byId("save-prompt").focus();
      },
    },
  });
  return el("li", {}, use, removable && remove);
}

/** @param {string} title @param {string[]} prompts @param {boolean} removable */
function list(title, prompts, removable) {
  if (!prompts.length) return [];
  const rows = prompts.map((prompt) => row(prompt, removable));
  return [el("p", { class: "hint" }, title), el("ul", { class: "kept-prompts", role: "list", "aria-label": title }, ...rows)];
}

function show() {
  const recent = recentPrompts()
    .filter((prompt) => !saved().includes(prompt))
    .slice(0, RECENT);
  fill(
    byId("prompts"),
    button({ id: "save-prompt", class: "button small", on: { click: save } }, "Save this prompt"),
    ...list("Saved", saved(), true),
    ...list("Drawn before", recent, false),
    !saved().length && !recent.length && el("p", { class: "hint" }, "Prompts that you save or draw wait here, in this browser."),
  );
}

/** @param {typeof field} promptField */
export function showPrompts(promptField) {
  field = promptField;
  show();
}
