// Light, dark, or whatever the system says.

import { byId, setIcon } from "./dom.js";

const NEXT = /** @type {const} */ ({ auto: "light", light: "dark", dark: "auto" });
const WORDS = { auto: "follow the system", light: "light", dark: "dark" };
const ICONS = { auto: "auto", light: "sun", dark: "moon" };

/** @returns {"auto" | "light" | "dark"} */
export function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : "auto";
}

/** @param {"auto" | "light" | "dark"} theme */
export function chooseTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch (error) {
    console.info("The theme cannot be remembered here:", error);
  }
  show();
}

function show() {
  const theme = currentTheme();
  const button = byId("theme-button");
  setIcon(button, ICONS[theme]);
  button.setAttribute("aria-label", `Theme: ${WORDS[theme]}`);
  button.title = `Theme: ${WORDS[theme]}`;
  const field = /** @type {HTMLSelectElement | null} */ (document.getElementById("theme"));
  if (field) field.value = theme;
}

export function startTheme() {
  byId("theme-button").addEventListener("click", () => chooseTheme(NEXT[currentTheme()]));
  show();
}
