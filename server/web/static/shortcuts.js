// Keys that do what links do: g and a letter open a page, / searches, j and k walk through
// a list, digits open the parts of a run, ? says all of this. Pages are complete without.
(() => {
  "use strict";
  const dialog = document.getElementById("shortcuts");
  const button = document.getElementById("show-shortcuts");
  if (!dialog || !button) return;

  const use = document.getElementById("use-shortcuts");
  const read = () => {
    try {
      return localStorage.getItem("shortcuts") !== "off";
    } catch {
      return true; // storage is off
    }
  };
  use.checked = read();
  use.addEventListener("change", () => {
    try {
      localStorage.setItem("shortcuts", use.checked ? "on" : "off");
    } catch {
      // storage is off: the choice lasts as long as the page
    }
  });
  button.hidden = false;
  button.addEventListener("click", () => dialog.showModal());

  const walk = (by) => {
    const links = [...document.querySelectorAll("main .list .key a:first-of-type")].filter((a) => a.checkVisibility());
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
  };

  let going = 0; // when g was pressed
  document.addEventListener("keydown", (event) => {
    if (!use.checked || dialog.open || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = event.key;
    if (going && event.timeStamp - going < 1500) {
      going = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
        return;
      }
    }
    going = 0;
    if (key === "g") going = event.timeStamp;
    else if (key === "?") dialog.showModal();
    else if (key === "j") walk(1);
    else if (key === "k") walk(-1);
    else if (key === "/") {
      const search = document.getElementById("search");
      if (search) search.focus();
      else location.assign("/runs#search");
    } else if (/^[1-9]$/.test(key)) {
      const tab = document.querySelectorAll("nav.tabs a")[Number(key) - 1];
      if (!tab) return;
      tab.click();
    } else return;
    event.preventDefault();
  });
  if (location.hash === "#search") document.getElementById("search")?.focus();
})();
