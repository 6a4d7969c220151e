// A word from the system when everything is drawn and nobody looks at the page, for those who ask for it.

import { byId } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { activeJobs, isActive, subscribe } from "../lib/store.js";
import { toast } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Job} Job */

const box = () => /** @type {HTMLInputElement} */ (byId("notify"));

async function onChange() {
  const allowed = box().checked && (await Notification.requestPermission()) === "granted";
  if (box().checked && !allowed)
    toast("The browser does not allow messages from this page; its settings for this address say so.");
  box().checked = allowed;
  remember("notify", allowed);
}

/** @param {Job} job */
function tell(job) {
  if (!box().checked || !document.hidden || isActive(job) || activeJobs().length || job.status === "cancelled") return;
  const words = job.status === "done" ? "Your picture is done" : "A picture could not be drawn";
  const message = new Notification(words, { body: job.prompt.slice(0, 120), tag: "bonsai-done" });
  message.addEventListener("click", () => (window.focus(), message.close()));
}

export function startNotify() {
  if (!("Notification" in window) || !isSecureContext) return; // a browser on a phone may have none
  byId("notify-field").hidden = false;
  box().checked = remembered("notify", false) && Notification.permission === "granted";
  box().addEventListener("change", onChange);
  subscribe("job", tell);
}
