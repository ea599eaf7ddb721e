"use strict";
// Fetches the sections anew when there are new rows or another width, and shows a mark's values under the
// pointer or at the arrow keys. Without scripts every page still has its figures: as tables, and as the labels
// of its charts.

const sections = document.getElementById("sections");
const told = document.querySelector(".live");
const FOCUSABLE = "a, summary, button, input, select, [tabindex]";

// ---- new rows ----

function width() {
  const room = sections.clientWidth - 40;
  const off = (each) => Math.max(each / room, room / each);
  return sections.dataset.widths.split(" ").map(Number).reduce((best, each) => (off(each) < off(best) ? each : best));
}

// What a reader has done to a section: opened, scrolled, focused.
function kept(section) {
  return {
    open: [...section.querySelectorAll("details")].map((each) => each.open),
    scrolled: [...section.querySelectorAll(".table, pre, .chart")].map((each) => [each.scrollLeft, each.scrollTop]),
    focused: [...section.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement),
    href: document.activeElement?.getAttribute("href"),
  };
}

function restore(section, { open, scrolled, focused, href }) {
  section.querySelectorAll("details").forEach((each, place) => { each.open = open[place] ?? false; });
  section.querySelectorAll(".table, pre, .chart").forEach((each, place) => {
    [each.scrollLeft, each.scrollTop] = scrolled[place] ?? [0, 0];
  });
  if (focused < 0) return;
  const places = [...section.querySelectorAll(FOCUSABLE)];
  const same = href && places.find((each) => each.getAttribute("href") === href);
  (same || places[Math.min(focused, places.length - 1)])?.focus({ preventScroll: true });
}

const asSent = new Map();
function put(html, news) {
  const fresh = [...new DOMParser().parseFromString(html, "text/html").querySelectorAll("section")];
  for (const section of fresh) {
    const sent = section.outerHTML, old = document.getElementById(section.id);
    if (old && asSent.get(section.id) === sent) continue;
    const known = asSent.has(section.id);
    asSent.set(section.id, sent);
    if (!old) { sections.append(section); continue; }
    const before = kept(old);
    old.replaceWith(section);
    restore(section, before);
    if (known && news) section.classList.add("fresh");
  }
}

let fetching = false, wanted = false;
async function refresh() {
  if (fetching) { wanted = true; return; }
  fetching = true;
  try {
    const pixels = width();
    const answer = await fetch(`${sections.dataset.from}&width=${pixels}`);
    if (answer.ok) {
      put(await answer.text(), String(pixels) === sections.dataset.width);
      sections.dataset.width = pixels;
      tell(`live, ${new Date().toLocaleTimeString()}`);
    } else tell(`not live: the server answered ${answer.status}`, true);
  } catch {
    tell("not live: the server does not answer", true);
  } finally {
    fetching = false;
    if (wanted) { wanted = false; setTimeout(refresh, 250); }
  }
}

function tell(text, off = false) {
  told.textContent = text;
  told.classList.toggle("off", off);
  told.hidden = false;
}

if (sections) {
  for (const section of sections.querySelectorAll("section")) asSent.set(section.id, section.outerHTML);
  const news = new EventSource("/live");
  news.addEventListener("open", () => tell("live"));
  news.addEventListener("rows", () => { if (!document.hidden) refresh(); else wanted = true; });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && wanted) { wanted = false; refresh(); } });
  news.addEventListener("error", () => tell("not live: the server does not answer", true));
  const fit = () => { if (sections.querySelector(".chart") && String(width()) !== sections.dataset.width) refresh(); };
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(fit, 200); });
  fit();
}

// ---- marks ----

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("role", "status");
document.body.append(tip);

const MARKS = ".role-mark [aria-label]:not([aria-roledescription$=container])";
let marked = null;

function show(mark) {
  marked?.classList.remove("marked");
  marked = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("marked");
  tip.replaceChildren(...mark.getAttribute("aria-label").split("; ").map((part) => {
    const row = document.createElement("div"), name = document.createElement("span"), at = part.indexOf(": ");
    name.textContent = part.slice(0, Math.max(at, 0));
    row.append(name, part.slice(at < 0 ? 0 : at + 2));
    return row;
  }));
  const box = mark.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 + scrollX, scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.bottom + scrollY + 8}px`;
}

document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest?.(`.chart ${MARKS}`);
  if (mark || !document.activeElement?.matches(".chart")) show(mark ?? null);
});
document.addEventListener("focusout", (event) => { if (event.target.matches?.(".chart")) show(null); });
document.addEventListener("keydown", (event) => {
  const chart = event.target.closest?.(".chart");
  if (!chart || event.ctrlKey || event.altKey || event.metaKey) return;
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step || event.key === "Home" || event.key === "End") {
    // from left to right, and from top to bottom, whatever the order in which they were drawn
    const places = [...chart.querySelectorAll(MARKS)].map((mark) => [mark, mark.getBoundingClientRect()]);
    places.sort(([, a], [, b]) => a.left + a.width / 2 - b.left - b.width / 2 || a.top - b.top);
    const at = places.findIndex(([mark]) => mark === marked), last = places.length - 1;
    const next = event.key === "Home" ? 0 : event.key === "End" ? last : at < 0 ? (step > 0 ? 0 : last) : at + step;
    if (places[next]) show(places[next][0]);
    event.preventDefault();
  } else if (event.key === "Enter") marked?.closest("a")?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  else if (event.key === "Escape") show(null);
});
