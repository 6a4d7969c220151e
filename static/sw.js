// The installed app while the server does not run: a page that says so, and is looked away from once it does again.
// Everything else goes to the server as if this were not here; nothing of a person's is kept.

const CACHE = "offline-1";
const PAGE = "/offline";

async function keep() {
  const cache = await caches.open(CACHE);
  const answer = await fetch(PAGE);
  const html = await answer.clone().text();
  await cache.put(PAGE, answer);
  await cache.addAll([...html.matchAll(/"(\/static\/[^"]+)"/g)].map(([, address]) => address));
}

/** @param {Request} request */
async function answered(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(request.mode === "navigate" ? PAGE : request);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("install", (event) => {
  event.waitUntil(keep());
  self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const asked = request.mode === "navigate" || request.destination === "style" || request.destination === "image";
  if (request.method !== "GET" || !asked) return;
  if (request.mode === "navigate" || request.referrer.endsWith(PAGE)) event.respondWith(answered(request));
  else if (new URL(request.url).pathname.startsWith("/static/")) event.respondWith(answered(request));
});
