// Sets the colours that the reader chose before anything is drawn.
(() => {
  "use strict";
  const root = document.documentElement;
  let choice = "";
  try {
    choice = localStorage.getItem("theme") || "";
  } catch {
    // storage is off: the system's colours
  }
  if (choice) root.dataset.theme = choice;
})();
