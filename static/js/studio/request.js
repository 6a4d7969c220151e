// What the form asks for: read, checked, and completed by the pictures that go in and by what has several values.

import { ApiError } from "../lib/api.js";
import { isStandIn } from "../lib/catalog.js";
import { byId } from "../lib/dom.js";
import { isWhole, MAX_SEED, MAX_STEPS } from "../lib/limits.js";
import { state } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";
import { changedPicture, isBlending, leadToMissing, missingOfPictures, requestedPictures, sizesItself } from "../editor/editor.js";
import { axesOf, axesReadable, isGrid, leadToAxes } from "../words/axes.js";
import { inStyles } from "../words/styles.js";
import { typedBefore } from "../words/written.js";
import { chosenAdapters } from "./adapters.js";
import { chosenChance, isWordless } from "./chance.js";
import { chosenGuidance } from "./guidance.js";
import { chosenModel, comparesSeedlings } from "./model-choice.js";
import { nextSeed, seedText } from "./seed.js";
import { isBusy, leadTo, note, problem, send } from "./sending.js";
import { chosenSize, isTypedSize, sizesOfModel } from "./sizes.js";

const WORDLESS = "anything"; // what a picture is called that was drawn without words

const prompt = /** @type {HTMLTextAreaElement} */ (byId("prompt"));
const steps = /** @type {HTMLInputElement} */ (byId("steps"));
const count = /** @type {HTMLSelectElement} */ (byId("count"));

let gathering = false; // what goes into the picture: sending it may take a moment

/** @returns {string} "" while the models are not known */
export const modelInUse = () => (state.models.size ? chosenModel() : "");

/** Seed and steps: as soon as one leaves the field, and before anything is drawn. */
export function checkNumbers() {
  const seed = seedText().trim() === "" ? NaN : Number(seedText());
  problem("seed", isWhole(seed, 0, MAX_SEED) ? "" : `A whole number from 0 to ${MAX_SEED}.`);
  problem("steps", isWhole(Number(steps.value), 1, MAX_STEPS) ? "" : `A whole number from 1 to ${MAX_STEPS}.`);
}

/**
 * What the form asks for, or null after saying what is wrong and taking the user there.
 * @param {"generate" | "compare"} how  a comparison is of words
 * @returns {Record<string, unknown> | null}
 */
function readForm(how) {
  // sizes still to come: the server takes the recommended one; a picture that is edited has its own
  const size = sizesItself() ? {} : (chosenSize() ?? (isTypedSize() ? null : {}));
  const seed = nextSeed();
  const model = state.models.size ? chosenModel() : undefined; // unknown yet: the server chooses
  const wordless = how === "generate" && (isWordless(model ?? "") || (isBlending() && !prompt.value.trim()));
  problem("prompt", wordless || prompt.value.trim() ? "" : "Describe the picture in a few words.");
  checkNumbers();
  for (const name of /** @type {const} */ (["guidance", "temperature"])) problem(name, ""); // the server knows their bounds
  problem("size", size ? "" : "Width and height: multiples of 16 from 64 to 2048.");
  const wrong = document.querySelector(".composer [aria-invalid=true]");
  if (wrong || !size) {
    leadTo(wrong?.id ?? "size");
    return null;
  }
  const chance = how === "generate" ? { ...chosenChance(model ?? ""), ...(wordless && { unconditional: true }) } : {};
  const further = { ...chosenAdapters(), ...(!wordless && inStyles()), ...chosenGuidance(model ?? ""), ...chance };
  const words = wordless ? WORDLESS : prompt.value;
  return { prompt: words, seed, steps: Number(steps.value), ...size, model, ...further };
}

/** What a grid is planned with while its values are typed: without complaints about other fields. */
export const draft = () => ({
  prompt: prompt.value.trim() || "?",
  seed: Number(seedText()) || 0,
  count: Number(count.value),
  ...(isWhole(Number(steps.value), 1, MAX_STEPS) && { steps: Number(steps.value) }),
  ...(!sizesItself() && chosenSize()),
  model: modelInUse() || undefined,
  ...changedPicture(),
  ...chosenAdapters(),
  ...inStyles(),
});

/** @param {"generate" | "compare"} how */
export async function submit(how) {
  if (isBusy() || gathering) return;
  gathering = true;
  await sizesOfModel();
  gathering = false;
  const request = readForm(how);
  if (!request) return;
  if (!axesReadable()) {
    leadToAxes();
    return;
  }
  const pictures = await gathered();
  if (!pictures) return;
  Object.assign(request, pictures);
  const axes = axesOf(request, Number(count.value));
  if (axes && (await asGrid(request))) {
    if (how === "compare") {
      note("warn", "Compare draws one pair. Leave out what has several values, or press Generate.");
      return;
    }
    request.axes = axes;
  } else if (how === "compare") askForPair(request);
  else if (Number(count.value) > 1) request.count = Number(count.value);
  if (!request.axes && !request.styles && typedBefore()) request.typed = typedBefore(); // styles note what they were put around
  await send(request);
}

/** Whether it is a grid; braces that are no alternatives are drawn as they stand. @param {Record<string, unknown>} request */
async function asGrid(request) {
  gathering = true;
  try {
    if (await isGrid(request)) return true;
    request.prompt = String(request.prompt).replace(/\\([{}|\\])/g, "$1");
    return false;
  } catch (error) {
    if (error instanceof ApiError) return true; // what is wrong is said when it is asked for
    throw error;
  } finally {
    gathering = false;
  }
}

/** What the request says of pictures that go in; null when that is not to be had, which has been said. */
async function gathered() {
  const missing = missingOfPictures();
  note("warn", missing); // beside Generate: the place to be marked and the form's end are rarely in sight together
  if (missing) {
    leadToMissing();
    return null;
  }
  gathering = true;
  try {
    return await requestedPictures();
  } catch (error) {
    toastError(error);
    return null;
  } finally {
    gathering = false;
  }
}

/**
 * The server compares the pair that is complete. If that is not the chosen kind of model, size and steps are its own.
 * @param {Record<string, unknown>} request
 */
function askForPair(request) {
  request.compare = true;
  for (const name of ["model", "guidance", "negative_prompt"]) delete request[name];
  const seedlings = comparesSeedlings();
  if (!state.models.size || seedlings === isStandIn(chosenModel())) return;
  for (const name of ["width", "height", "steps"]) delete request[name];
  toast(
    seedlings
      ? "Compared with the seedlings at their own size: not both of the models that are compared are here."
      : "Compared with Bonsai Image 4B at its recommended size.",
  );
}
