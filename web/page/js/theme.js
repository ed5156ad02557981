// Before the first paint: the theme a person chose last time, and whether a link names the face.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme stands.
}
if (location.hash) document.documentElement.dataset.linked = "true"; // to another face than the first

// In a frame of another page: one face and a few sliders (style.css)
if (new URLSearchParams(location.search).has("embed")) document.documentElement.dataset.embed = "";
