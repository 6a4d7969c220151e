// What every page has: theme, the engine's mark, the connection banner, help, dropped images. Importing it starts it.

import { startApp } from "../lib/app.js";
import { byId } from "../lib/dom.js";
import { startDrop } from "../metadata/drop.js";
import { engineWords } from "../lib/engine-words.js";
import { startMemoryPanel } from "../studio/memory-panel.js";
import { connect } from "../lib/events.js";
import { activeJobs, state, subscribe } from "../lib/store.js";
import { startTheme } from "../lib/theme.js";
import { toast, undoByKey } from "../lib/toast.js";

const TITLE = document.title;
let wasDrawing = false;
let unseen = false; // something was drawn while nobody looked

function showEngine() {
  const jobs = activeJobs();
  const running = jobs.find((job) => job.status === "running");
  const { words, tone } = engineWords();
  const mark = byId("engine-mark");
  const percent = running ? `${Math.round(running.progress * 100)} %` : "";
  mark.dataset.ready = "";
  const known = running && state.connection !== "lost"; // nobody hears how far it is without a connection
  mark.dataset.tone = known ? "busy" : tone;
  byId("engine-text").textContent = known ? `Drawing, ${percent}` : words;
  unseen = document.hidden && (unseen || (wasDrawing && !running));
  wasDrawing = Boolean(running);
  document.title = unseen && !known ? `✓ Done · ${TITLE}` : known ? `${percent} · ${TITLE}` : TITLE;
}

function showConnection() {
  const lost = state.connection === "lost";
  byId("connection-banner").hidden = !lost;
  byId("connection-text").textContent = lost
    ? "The server does not answer. This page reconnects by itself; if the server was stopped, start it again."
    : "";
  showEngine();
}

/** @param {{state: string, message?: string | null}} event */
function onWorker({ state: worker, message }) {
  if (message) toast(message, { showMs: 12_000 });
  else if (worker === "unresponsive") toast("The engine does not answer; it is being restarted.");
}

function startDialogs() {
  const help = /** @type {HTMLDialogElement} */ (byId("help-dialog"));
  const open = () => {
    help.showModal();
    help.scrollTop = 0; // from its title on, whatever of it has the focus
  };
  byId("help-button").addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || document.querySelector("dialog[open]")) return;
    if (!(/** @type {Element} */ (event.target).closest("input, textarea, select"))) open();
  });
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("[data-close]")) target.closest("dialog")?.close();
  });
}

startTheme();
startApp();
startDialogs();
startDrop();
startMemoryPanel();
document.addEventListener("keydown", undoByKey);
byId("reconnect-button").addEventListener("click", connect);
subscribe("connection", showConnection);
document.addEventListener("visibilitychange", showEngine);
subscribe("memory", showEngine);
subscribe("job", showEngine);
subscribe("worker", onWorker);
if (!document.hidden) connect(); // a tab opened in the background connects when it is looked at
