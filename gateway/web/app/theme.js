// Before the first paint: the theme that was chosen on this device. A classic script, so that nothing flashes.
try {
  const chosen = localStorage.getItem("headrace.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is shut: the system's theme it is.
}
