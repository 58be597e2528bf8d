// Keeps an open page up to date: the server sends the elements that have changed, by
// id, over one stream per tab, and nothing around them is touched. Without this script
// pages are complete; they are as they were when they were opened.
(() => {
  "use strict";

  // The code of a login is in the address's fragment, which no server sees.
  const login = document.getElementById("login");
  const code = location.hash.slice(1);
  if (login && code) {
    history.replaceState(null, "", location.pathname + location.search);
    login.elements.key.value = code;
    login.submit();
    return;
  }

  // The page's own entry is in sight where the menu is wider than the screen.
  for (const current of document.querySelectorAll("nav a[aria-current]")) {
    const menu = current.parentElement;
    menu.scrollLeft = Math.max(0, current.offsetLeft - menu.offsetLeft - 40);
  }

  // The colours: as the system, light, dark.
  const theme = document.getElementById("theme");
  if (theme) {
    const choices = ["", "light", "dark"];
    const root = document.documentElement;
    const name = () => {
      theme.setAttribute("aria-label", "Colours: " + (root.dataset.theme || "as the system"));
      theme.title = theme.getAttribute("aria-label");
    };
    theme.hidden = false;
    name();
    theme.addEventListener("click", () => {
      const next = choices[(choices.indexOf(root.dataset.theme || "") + 1) % choices.length];
      if (next) root.dataset.theme = next;
      else delete root.dataset.theme;
      try {
        localStorage.setItem("theme", next);
      } catch {
        // storage is off: the choice lasts as long as the page
      }
      name();
    });
  }

  const page = document.body.dataset.live;
  if (!page || !window.EventSource) return;

  const connection = document.getElementById("connection");
  const say = (text, state) => {
    if (!connection || connection.textContent === text) return;
    connection.textContent = text;
    connection.dataset.state = state;
  };

  const waiting = new Map(); // elements that are being typed in, by id: what replaces them then

  const typing = (element) => {
    const active = document.activeElement;
    return active && element.contains(active) && active.matches("input, textarea, select");
  };

  const replace = (id, html) => {
    const old = document.getElementById(id);
    if (!old) return;
    if (typing(old)) {
      waiting.set(id, html);
      return;
    }
    waiting.delete(id);
    const template = document.createElement("template");
    template.innerHTML = html; // the server's own; scripts in it do not run
    const fresh = template.content.firstElementChild;
    if (!fresh) return;
    for (const details of old.querySelectorAll("details[id]")) {
      const twin = fresh.querySelector("#" + CSS.escape(details.id));
      if (twin) twin.open = details.open;
    }
    if (fresh.isEqualNode(old)) return;
    const scrolled = [...old.querySelectorAll(".scroll, pre[tabindex]"), old].map((e) => [e.scrollLeft, e.scrollTop]);
    const active = document.activeElement;
    const focus = active && old.contains(active) ? path(old, active) : null;
    old.replaceWith(fresh);
    [...fresh.querySelectorAll(".scroll, pre[tabindex]"), fresh].forEach((e, i) => {
      if (scrolled[i]) [e.scrollLeft, e.scrollTop] = scrolled[i];
    });
    if (focus) {
      const again = follow(fresh, focus);
      if (again && again.focus) again.focus({ preventScroll: true });
    }
  };

  // path returns where an element is within another; follow finds what is there now.
  const path = (root, element) => {
    const steps = [];
    for (let e = element; e !== root; e = e.parentElement) {
      steps.unshift(e.id ? "#" + CSS.escape(e.id) : [...e.parentElement.children].indexOf(e));
    }
    return steps;
  };
  const follow = (root, steps) =>
    steps.reduce((e, step) => e && (typeof step === "string" ? root.querySelector(step) : e.children[step]), root);

  document.addEventListener("focusout", () => {
    setTimeout(() => {
      for (const [id, html] of [...waiting]) replace(id, html);
    });
  });

  let source = null;
  const open = () => {
    if (source) return;
    source = new EventSource("/live?page=" + encodeURIComponent(page));
    source.addEventListener("open", () => say("live", "on"));
    source.addEventListener("fragment", (event) => {
      const { id, html } = JSON.parse(event.data);
      replace(id, html);
    });
    source.addEventListener("error", () => {
      const gone = source.readyState === EventSource.CLOSED;
      say(gone ? "not live; reload the page" : "connecting", "off");
      if (gone) {
        close();
        setTimeout(() => document.visibilityState === "visible" && open(), 5000);
      }
    });
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  // Browsers allow a host six connections: tabs that nobody sees use none.
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? open() : close()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  if (document.visibilityState === "visible") open();
})();
