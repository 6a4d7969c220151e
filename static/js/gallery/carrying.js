// Taking a picture out of the page: dragged into a folder or another program, or copied.

import { toast } from "../lib/toast.js";

const TYPES = { png: "image/png", jpg: "image/jpeg", webp: "image/webp" };

/**
 * What a drag carries: the file itself, under its name, where a browser can, and its address.
 * @param {DragEvent} event
 * @param {{id: string, name: string}} picture  `name` with its ending, which is that of the file
 */
export function carry(event, { id, name }) {
  const data = event.dataTransfer;
  const suffix = name.slice(name.lastIndexOf(".") + 1);
  const type = TYPES[/** @type {keyof typeof TYPES} */ (suffix)];
  if (!data || !type) return;
  const address = new URL(`/images/${id}.${suffix}`, location.href).href;
  data.effectAllowed = "copy";
  data.setData("DownloadURL", `${type}:${name}:${address}`);
  data.setData("text/uri-list", address);
}

/**
 * The picture itself on the clipboard. Safari wants the promise of it, within the click.
 * @param {string} id
 */
export async function copyPicture(id) {
  try {
    const png = fetch(`/images/${id}.png`).then((answer) => answer.blob());
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    toast("Picture copied.", { showMs: 2000 });
  } catch {
    // over plain HTTP in a network browsers keep the clipboard from pages
    toast("This browser does not let the page copy pictures. Use “Copy image” of the picture’s own menu.");
  }
}

