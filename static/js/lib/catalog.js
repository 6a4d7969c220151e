// The models that the server's catalog has, as every page brings them along: nothing here knows one by its name.

/**
 * @typedef {object} Known
 * @property {string} name
 * @property {string} label
 * @property {string} summary
 * @property {boolean} embedded
 * @property {boolean} featured  among the first to choose from
 * @property {string | null} stands_in_for  the model in whose place it draws while that is not here
 * @property {string | null} compared_with  the model that a comparison sets beside it
 */

/** @type {Known[]} */
export const CATALOG = JSON.parse(globalThis.document?.body?.dataset.models ?? "[]");

/** What is chosen between: the models that have to be downloaded and are shown first, the default before the others. */
export const PUBLISHED = CATALOG.filter((model) => model.featured);

/** What can be chosen as well, once it is here. */
export const OTHERS = CATALOG.filter((model) => !model.stands_in_for && !model.featured);

/** @param {string} name */
export const known = (name) => CATALOG.find((model) => model.name === name);

/** @param {string} name */
export const isStandIn = (name) => Boolean(known(name)?.stands_in_for);

/** The model that draws in place of another; without one, the other itself. @param {string} name */
export const standIn = (name) => CATALOG.find((model) => model.stands_in_for === name)?.name ?? name;

/** The pair of published models that is compared: nothing where the catalog has none. */
export const comparedPair = () => {
  const first = PUBLISHED.find((model) => model.compared_with);
  return first ? [first.name, String(first.compared_with)] : [];
};

/** The place of a model in lists: that of the catalog, others after it. @param {string | null} name */
export const rank = (name) => {
  const place = CATALOG.findIndex((model) => model.name === name);
  return place < 0 ? CATALOG.length : place;
};
