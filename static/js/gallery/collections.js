// Collections: the row above the pictures, and the dialogs that name, choose and delete one.

import { deleteCollection, listCollections, makeCollection, renameCollection } from "../lib/api.js";
import { byId, button, el } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/api.js").Collection} Collection */

/**
 * A dialog that is gone when it is closed.
 * @template T
 * @param {string} title
 * @param {(finish: (answer: T) => void) => Node[]} content
 * @returns {Promise<T | null>}  null when it was closed without an answer
 */
function ask(title, content) {
  return new Promise((resolve) => {
    /** @type {T | null} */
    let answer = null;
    const finish = (/** @type {T} */ given) => {
      answer = given;
      dialog.close();
    };
    const dialog = el("dialog", { class: "dialog", "aria-labelledby": "ask-title" }, el("h2", { id: "ask-title" }, title));
    dialog.append(...content(finish));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * A form for a name; what the server refuses is said below the field.
 * @param {string} label
 * @param {string} value
 * @param {string} verb
 * @param {(name: string) => Promise<void>} use
 */
function nameForm(label, value, verb, use) {
  const input = el("input", { class: "input", id: "collection-name", maxlength: "80", required: true, autocomplete: "off" });
  const problem = el("p", { class: "field-error", id: "collection-problem", role: "alert" });
  input.value = value;
  const form = el(
    "form",
    { class: "field" },
    el("label", { class: "label", for: "collection-name" }, label),
    el("div", { class: "joined" }, input, el("button", { class: "button primary", type: "submit" }, verb)),
    problem,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await use(input.value.trim());
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", problem.id);
      problem.textContent = /** @type {Error} */ (error).message;
      input.focus();
    }
  });
  return form;
}

const closing = () => el("div", { class: "button-row" }, button({ "data-close": true }, "Cancel"));

/** @returns {Promise<Collection | null>} a new one */
export const askForNew = () =>
  ask("New collection", (finish) => [
    nameForm("Name", "", "Create", async (name) => finish(await makeCollection(name))),
    closing(),
  ]);

/**
 * @param {number} count  of pictures that are to be put there
 * @param {string | null} [without]  the collection that they are in
 * @returns {Promise<Collection | null>} one that there was, or a new one
 */
export async function choose(count, without = null) {
  const { collections } = await listCollections();
  const offered = collections.filter((one) => one.id !== without);
  return ask(`Move ${plural(count, "picture")} to`, (finish) => [
    el(
      "ul",
      { class: "choices", role: "list" },
      ...offered.map((one) =>
        el(
          "li",
          {},
          button(
            { class: "button quiet choice", on: { click: () => finish(one) } },
            `${one.name} (${one.total})`,
          ),
        ),
      ),
    ),
    nameForm("A new collection", "", "Create and move", async (name) => finish(await makeCollection(name))),
    closing(),
  ]);
}

/** @param {string} id @param {string} name */
export const askToRename = (id, name) =>
  ask("Rename collection", (finish) => [
    nameForm("Name", name, "Rename", async (changed) => finish(await renameCollection(id, changed))),
    closing(),
  ]);

/** @param {string} id @param {string} name */
export const askToDelete = (id, name) =>
  ask(`Delete the collection “${name}”?`, (finish) => [
    el("p", {}, "Its pictures stay in the gallery."),
    el(
      "div",
      { class: "button-row" },
      button({ "data-close": true }, "Keep it"),
      button(
        { class: "button danger", on: { click: () => deleteCollection(id).then(finish, toastError) } },
        "Delete the collection",
      ),
    ),
  ]);

/** The row of collections as the server has them now. @param {string | null} current */
export async function showRow(current) {
  const { collections } = await listCollections();
  const link = (/** @type {string} */ href, /** @type {string} */ name, /** @type {number | null} */ total, /** @type {boolean} */ here) =>
    el(
      "li",
      {},
      el("a", { class: "chip", href, "aria-current": here && "page" }, name, total !== null && el("span", { class: "muted numeric" }, total)),
    );
  byId("collections").replaceChildren(
    link("/gallery", "All pictures", null, current === null),
    ...collections.map((one) => link(`/gallery?collection=${one.id}`, one.name, one.total, one.id === current)),
  );
}

/** The buttons of the row. @param {string | null} current */
export function startRow(current) {
  byId("new-collection").addEventListener("click", async () => {
    const made = await askForNew();
    if (!made) return;
    toast(`The collection “${made.name}” was made. Select pictures, then move them there.`);
    await showRow(current);
    byId("new-collection").focus();
  });
  if (current === null) return;
  const title = byId("gallery-title");
  byId("rename-collection").addEventListener("click", async () => {
    const renamed = await askToRename(current, title.textContent ?? "");
    if (renamed) title.textContent = renamed.name;
    await showRow(current);
  });
  byId("delete-collection").addEventListener("click", async () => {
    if (await askToDelete(current, title.textContent ?? "")) location.assign("/gallery");
  });
}
