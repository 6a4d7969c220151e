// The page as an app of its own: what an installed one shows while the server does not run.

/** Browsers allow it over HTTPS and on this computer alone. */
export function startApp() {
  if (!navigator.serviceWorker) return;
  const types = /** @type {any} */ (window).trustedTypes;
  const policy = types?.createPolicy("app", { createScriptURL: () => "/sw.js" });
  navigator.serviceWorker.register(policy ? policy.createScriptURL("") : "/sw.js").catch((error) => {
    console.info("The page cannot be kept for when the server does not run:", error);
  });
}
