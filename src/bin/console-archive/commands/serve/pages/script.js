// For the keyboard, and for what is comfortable. Every page can be read without it.
"use strict";
(() => {
  const log = document.getElementById("log");
  const all = (selector) => [...document.querySelectorAll(selector)];
  const followed = (selector) => { const link = document.querySelector(selector); if (link) link.click(); };

  const said = document.createElement("div");
  said.id = "said";
  said.setAttribute("role", "status");
  document.body.append(said);
  let silent;
  const say = (text) => {
    said.textContent = text;
    clearTimeout(silent);
    silent = setTimeout(() => { said.textContent = ""; }, 2500);
  };

  // Lines that an address names: #L120, or #L120-L130.
  const range = () => {
    const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
    if (!found) return null;
    const first = Number(found[1]), last = Number(found[2] || found[1]);
    return first <= last ? [first, last] : [last, first];
  };
  const marked = () => {
    if (!log) return;
    for (const line of all(".l.marked")) line.classList.remove("marked");
    const lines = range();
    if (!lines) return;
    const first = document.getElementById("L" + lines[0]);
    if (!first) {
      // A long log has several pages.
      const from = Math.floor((lines[0] - 1) / 200000) * 200000 + 1;
      const address = new URL(location.href);
      if (Number(address.searchParams.get("from") || 1) !== from) {
        address.searchParams.set("from", String(from));
        location.replace(address);
      }
      return;
    }
    // More would take long, and nobody sees them at once.
    for (let number = lines[0]; number <= Math.min(lines[1], lines[0] + 9999); number++) {
      const line = document.getElementById("L" + number);
      if (line) line.classList.add("marked");
    }
    // The sections above get their heights when they are near the screen.
    first.scrollIntoView({ block: "start" });
    requestAnimationFrame(() => first.scrollIntoView({ block: "start" }));
    at = first;
  };

  // Where the keyboard is: a line of a log, or a row of a table.
  let at = null;
  const places = () => log ? null : all("main tbody tr");
  const go = (place) => {
    if (!place) return;
    if (at) at.classList.remove("at");
    at = place;
    at.classList.add("at");
    at.scrollIntoView({ block: "nearest" });
    const link = at.querySelector("a");
    if (link) link.focus({ preventScroll: true });
  };
  const near = () => {
    if (at && at.isConnected) return at;
    const lines = log ? log.getElementsByClassName("l") : [];
    for (const line of lines) if (line.id && line.getBoundingClientRect().bottom > 60) return line;
    return null;
  };
  const step = (by) => {
    const rows = places();
    if (rows) {
      const index = rows.indexOf(at);
      return go(rows[index < 0 ? (by > 0 ? 0 : rows.length - 1) : index + by]);
    }
    if (!at) return go(near());
    const number = Number(at.id.slice(1));
    go(document.getElementById("L" + (number + by)));
  };
  const end = (isLast) => {
    const places = log ? log.getElementsByClassName("l") : all("main tbody tr");
    go(places[isLast ? places.length - 1 : 0]);
  };
  const other = (selector, isNext) => {
    const found = all(selector), here = near();
    if (!found.length) return say("There is none.");
    const is = (place) => here && (here.compareDocumentPosition(place) & (isNext ? 4 : 2));
    const next = isNext ? found.find(is) : found.reverse().find(is);
    if (!next) return say(isNext ? "That was the last." : "That was the first.");
    const line = next.matches(".l") ? next : (next.nextElementSibling || next);
    go(line.closest(".l") || (line.querySelector && line.querySelector(".l")) || next);
    at.scrollIntoView({ block: "center" });
  };
  const nextOf = (selector) => {
    const links = all(selector), now = links.findIndex((link) => link.hasAttribute("aria-current"));
    const link = links[(now + 1) % Math.max(links.length / 2, 1)];
    if (link) { link.hash = location.hash; link.click(); }
  };
  const copy = () => {
    const address = new URL(location.href);
    if (at && at.id && !range()) address.hash = at.id;
    navigator.clipboard.writeText(address.href).then(() => say("The link is copied."), () => say("The browser does not copy."));
  };

  if (log) {
    // A click on a number marks a line, and one with Shift all lines from there.
    let from = null;
    log.addEventListener("click", (event) => {
      const link = event.target.closest(".l > a");
      if (!link) return;
      const number = Number(link.textContent);
      if (event.shiftKey && from) {
        event.preventDefault();
        const [first, last] = from < number ? [from, number] : [number, from];
        history.replaceState(null, "", "#L" + first + "-L" + last);
        marked();
      } else {
        from = number;
      }
    });
    addEventListener("hashchange", marked);
    marked();
    for (const link of all(".tools a.switch.time, .tools a.switch.wrap")) {
      link.addEventListener("click", () => { link.hash = location.hash; });
    }
  }

  const keys = document.getElementById("keys");
  const up = () => { const links = all(".top li a"); if (links.length) links[links.length - 1].click(); };
  const filter = () => {
    const field = document.querySelector("form input:not([type=hidden])");
    if (field) field.focus();
  };
  const actions = {
    j: () => step(1), k: () => step(-1), g: () => end(false), G: () => end(true),
    e: () => other(".l.found", true), E: () => other(".l.found", false),
    "}": () => other(".gap, .join, .stage", true), "{": () => other(".gap, .join, .stage", false),
    "[": () => followed("a[rel=prev]"), "]": () => followed("a[rel=next]"),
    t: () => nextOf("a.switch.time"), w: () => followed("a.switch.wrap"),
    "/": filter, y: copy, u: up, "?": () => keys && keys.showModal(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  });
})();
