// What a picture was made from, and that from, as far back as is known. Asks, and shows nothing.

/** @typedef {import("../lib/types.js").Picture} Picture */
/** @typedef {{image: Picture | null, id: string, url: string, thumbnail: string, name: string}} Ancestor */

const ROLES = ["input", "source", "reference"]; // what was changed, enlarged, or looked at
const MOST = 12; // pictures that are followed back

/** @param {Picture} image @returns {Ancestor} */
const ofGallery = (image) => ({ image, id: image.id, url: image.url, thumbnail: image.thumbnail_url, name: image.prompt });

/** @param {string} id  of an input, which is none of the gallery's @returns {Ancestor} */
const ofInput = (id) => ({ image: null, id, url: `/inputs/${id}`, thumbnail: `/inputs/${id}`, name: "the first picture" });

/**
 * The picture that is asked about and what it came from, oldest first.
 * @param {string} id
 * @param {(id: string) => Promise<Picture>} ask
 * @returns {Promise<Ancestor[]>}
 */
export async function lineageOf(id, ask) {
  /** @type {Ancestor[]} */
  const chain = [];
  /** @type {string | undefined} */
  let next = id;
  while (next && chain.length < MOST) {
    const image = /** @type {Picture} */ (await ask(next));
    if (chain.some((known) => known.id === image.id)) break;
    chain.unshift(ofGallery(image));
    const parents = image.parents ?? [];
    next = ROLES.flatMap((role) => parents.filter((parent) => parent.role === role))[0]?.id;
    const first = image.recipe.init ?? image.recipe.references?.[0];
    if (!next && first) chain.unshift(ofInput(first));
  }
  return chain;
}
