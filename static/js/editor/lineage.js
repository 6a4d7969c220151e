// What the picture on the stage was made from, picture after picture, as a strip to go back along.

import { getImage } from "../lib/api.js";
import { byId, button, el } from "../lib/dom.js";
import { publish, subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";
import { showImage, shownImage } from "../stage/stage.js";
import { lineageOf } from "./ancestors.js";

/** @typedef {import("./ancestors.js").Ancestor} Ancestor */

/** @param {Ancestor} one @param {boolean} current */
function step({ image, id, thumbnail, name }, current) {
  const go = () => (image ? showImage(image) : publish("edit", [id]));
  const words = image ? name : "Edit the first picture again";
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "lineage-step", title: words, "aria-label": words, "aria-current": current && "true", on: { click: go } },
      el("img", { src: thumbnail, alt: "", width: 44, height: 44 }),
    ),
  );
}

let asked = ""; // the picture whose lineage is shown or on its way

async function show() {
  const id = shownImage() ?? "";
  if (id === asked) return;
  asked = id;
  const chain = id ? await lineageOf(id, getImage) : [];
  if (asked !== id) return; // another picture was shown meanwhile
  byId("lineage").hidden = chain.length < 2;
  const [last, beforeIt] = chain.slice().reverse();
  byId("lineage-steps").replaceChildren(...chain.map((one) => step(one, one === last)));
  byId("lineage-compare").replaceChildren();
  if (beforeIt && last.image) {
    const { image } = last;
    const compare = () =>
      import("./before-after.js").then(({ showBeforeAfter }) => showBeforeAfter(beforeIt.url, image)).catch(toastError);
    byId("lineage-compare").append(button({ class: "button small", icon: "compare", on: { click: compare } }, "Before and after"));
  }
}

export function startLineage() {
  const now = () => show().catch(toastError);
  for (const topic of ["view", "job", "image", "image_deleted"]) subscribe(topic, now);
  now();
}
