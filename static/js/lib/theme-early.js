// Runs before the first paint, as a plain script, so that nothing changes its colour or its place after it.
if (/[?&](edit|from)=/.test(location.search)) document.documentElement.dataset.asked = "";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  // with a prompt to come, no room is kept for example prompts
  const prompt = JSON.parse(sessionStorage.getItem("prompt") ?? localStorage.getItem("prompt") ?? '""');
  if (prompt) document.documentElement.dataset.prompt = "";
} catch (error) {
  console.info("The theme cannot be remembered here:", error);
}
