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
    const lines = range();
    // What the server has marked stays until another range is.
    if (!lines) return;
    for (const line of all(".l.marked")) line.classList.remove("marked");
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
  const places = () => log ? null : all(document.querySelector(".hunk") ? ".hunk" : document.querySelector(".hits") ? ".hits .l" : "main tbody tr");
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
    const found = places() || log.getElementsByClassName("l");
    go(found[isLast ? found.length - 1 : 0]);
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

  // A boot that may still print: what stands behind its last line is asked for, now and then. A page is made of the answer
  // by the browser, which runs none of it.
  const least = 5, most = 60;
  let wait = least;
  const lastLine = () => {
    const lines = log.getElementsByClassName("l");
    for (let index = lines.length - 1; index >= 0; index--) if (lines[index].id) return lines[index];
    return null;
  };
  // What stands in a log, without its sections: they begin elsewhere in a part of it.
  const flat = (nodes) => nodes.flatMap((node) => node.nodeType !== 1 ? [] : node.matches(".s") ? flat([...node.childNodes]) : [node]);
  const behind = (node) => { const all = []; while ((node = node.nextSibling)) all.push(node); return all; };
  const grow = (page) => {
    const last = lastLine(), came = page.getElementById("log");
    // The last line may have grown, and what stands before it and behind it belongs to it. The line before it stays, with
    // what was written over in it.
    let kept = last && document.getElementById("L" + (Number(last.id.slice(1)) - 1));
    while (kept && kept.nextElementSibling && kept.nextElementSibling.matches(".rws")) kept = kept.nextElementSibling;
    const section = kept && kept.closest(".s");
    const old = kept ? [...behind(kept), ...behind(section)] : [...log.childNodes];
    const said = (nodes) => JSON.stringify(flat(nodes).map((node) => [node.className.replace(/ (at|marked)\b/g, ""), node.textContent]));
    const isSame = said(old) === said([...came.childNodes]);
    const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
    if (!isSame) {
      for (const node of old) node.remove();
      log.append(...came.childNodes);
    }
    for (const id of ["about", "live"]) {
      const old = document.getElementById(id), next = page.getElementById(id);
      if (old && next) old.replaceWith(next); else if (old) old.remove();
    }
    const tools = [...page.querySelectorAll(".tools")];
    all(".tools").forEach((old, index) => { if (tools[index]) old.replaceWith(tools[index]); });
    document.title = page.title;
    if (isAtEnd && !isSame) scrollTo(0, document.documentElement.scrollHeight);
    return isSame;
  };
  const look = () => {
    if (!document.getElementById("live")) return;
    if (document.hidden) return void setTimeout(look, least * 1000);
    const address = new URL(location.href), last = lastLine();
    address.hash = "";
    address.searchParams.set("after", String(last ? Number(last.id.slice(1)) - 1 : 0));
    const asked = new XMLHttpRequest();
    asked.open("GET", address);
    asked.responseType = "document";
    asked.onloadend = () => {
      const page = asked.status === 200 && asked.response, live = document.getElementById("live");
      if (asked.status === 403 || asked.status === 404) {
        live.textContent = asked.status === 403 ? "This browser is not let in any more, so nothing more is looked for." : "This boot is not known any more, so nothing more is looked for.";
        return;
      }
      // The boot has another ID.
      if (page && new URL(asked.responseURL).pathname !== location.pathname) return location.replace(asked.responseURL);
      const isSame = !page || grow(page);
      if (page && !document.getElementById("live")) return say("This boot is over.");
      wait = isSame ? Math.min(wait * 2, most) : least;
      setTimeout(look, wait * 1000);
    };
    asked.send();
  };
  if (log && document.getElementById("live")) setTimeout(look, wait * 1000);

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
    t: () => nextOf("a.switch.time"), w: () => followed("a.switch.wrap"), d: () => followed("a.compare"),
    "/": filter, y: copy, u: up, "?": () => keys && keys.showModal(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  });
})();
