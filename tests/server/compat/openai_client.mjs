// openai-node on a live server: a picture, a stream with a preview, the picture changed, and one failure. Exits with 0 when all is well.
// Arguments: the address, and "real" where the engine is.

import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "x" });
const isPng = (encoded) => Buffer.from(encoded, "base64").subarray(1, 4).toString() === "PNG";

const answer = await client.images.generate({ model: "gpt-image-1", prompt: "a fox", size: "64x64", seed: 7 });
assert.ok(isPng(answer.data[0].b64_json));
assert.equal(answer.data[0].seed, 7);

const types = [];
for await (const event of await client.images.generate({
  prompt: "slow", size: "64x64", stream: true, partial_images: 1,
})) {
  assert.ok(isPng(event.b64_json));
  types.push(event.type);
}
assert.deepEqual(types, ["image_generation.partial_image", "image_generation.completed"]);

const drawn = () => toFile(Buffer.from(answer.data[0].b64_json, "base64"), "drawn.png", { type: "image/png" });
// 64x64, black with a white square in its middle
const MASK = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAHklEQVR42mNgGFyAkYHhPwMDAyMDE0xklIHMGGwAAPa7AUAn7aGOAAAAAElFTkSuQmCC";
const mask = await toFile(Buffer.from(MASK, "base64"), "mask.png", { type: "image/png" });
const edited = await client.images.edit({ image: await drawn(), mask, prompt: "a red star", seed: 9 });
assert.ok(isPng(edited.data[0].b64_json));
assert.equal(edited.size, "64x64");
let last;
for await (const event of await client.images.edit({ image: [await drawn()], prompt: "a hare", stream: true })) last = event;
assert.equal(last.type, "image_edit.completed");

// which only an engine made for tests obeys
if (process.argv[3] !== "real") await assert.rejects(client.images.generate({ prompt: "raise it", size: "64x64" }), OpenAI.InternalServerError);
