// The page of settings: each is kept as soon as it is changed; what the server refuses goes back to what it was.

import "./shell.js";
import { changeSettings, phoneLink, revealFolder } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { chooseTheme } from "../lib/theme.js";
import { toastError } from "../lib/toast.js";

const GB = 1e9;
const LEAST_GB = 0.1;
const SAVED_MS = 3000;

const memory = /** @type {HTMLInputElement} */ (byId("memory_limit_gb"));
let savedTimer = 0;

/** @param {object} changes  fields of PATCH /settings */
async function keep(changes) {
  await changeSettings(changes);
  byId("saved").textContent = "Saved.";
  clearTimeout(savedTimer);
  savedTimer = window.setTimeout(() => (byId("saved").textContent = ""), SAVED_MS);
}

async function keepMemoryLimit() {
  const wanted = memory.value.trim();
  const fits = memory.validity.badInput ? false : wanted === "" || Number(wanted) >= LEAST_GB;
  memory.setAttribute("aria-invalid", String(!fits));
  byId("memory-problem").textContent = fits ? "" : `At least ${LEAST_GB} GB, or empty for no limit.`;
  if (fits) await keep({ memory_limit_bytes: wanted === "" ? null : Math.round(Number(wanted) * GB) });
}

/** @type {Record<string, (control: any) => Promise<void>>} */
const KEEPERS = {
  default_model: (control) => keep({ default_model: control.value || null }),
  previews: (control) => keep({ preview: control.checked }),
  keep_alive_minutes: (control) => keep({ keep_alive_minutes: Number(control.value) }),
  memory_limit_gb: keepMemoryLimit,
  text_encoder: (control) => keep({ text_encoder: control.value || null }),
  decoder: (control) => keep({ decoder: control.value || null }),
  theme: async (control) => chooseTheme(control.value),
};

async function showCode() {
  const { url, svg } = await phoneLink();
  const picture = /** @type {HTMLImageElement} */ (byId("code-picture"));
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  picture.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  picture.src = address;
  byId("code-link").textContent = url;
  byId("code").hidden = false;
}

byId("settings-form").addEventListener("change", ({ target }) => {
  const control = /** @type {HTMLElement} */ (target);
  KEEPERS[control.id]?.(control).catch((error) => {
    toastError(error);
    /** @type {HTMLFormElement} */ (byId("settings-form")).reset(); // to what the server's page said
  });
});
byId("settings-form").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("show-folder")?.addEventListener("click", () => revealFolder().catch(toastError));
document.getElementById("show-code")?.addEventListener("click", () => showCode().catch(toastError));
