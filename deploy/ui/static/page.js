"use strict";
// Fetches the sections anew when there are new rows, and shows a mark's values under the pointer or the focus.
// Without scripts every page still has its figures: as tables, and as the labels of its charts.

const sections = document.getElementById("sections");
const told = document.querySelector(".live");

function opened() {
  return [...sections.querySelectorAll("details[open]")].map((each) => [each.closest("section").id, each.className]);
}

let fetching = false, wanted = false;
async function refresh() {
  if (fetching) { wanted = true; return; }
  fetching = true;
  try {
    const answer = await fetch(sections.dataset.from);
    if (answer.ok) {
      const open = opened(), focused = document.activeElement?.closest("section")?.id;
      const html = new DOMParser().parseFromString(await answer.text(), "text/html");
      sections.replaceChildren(...html.body.childNodes);
      for (const [id, kind] of open) {
        const found = [...(document.getElementById(id)?.querySelectorAll("details") ?? [])];
        found.filter((each) => each.className === kind).forEach((each) => { each.open = true; });
      }
      if (focused) document.getElementById(focused)?.querySelector("summary, a, [tabindex]")?.focus({ preventScroll: true });
      told.textContent = `live, ${new Date().toLocaleTimeString()}`;
      told.hidden = false;
    }
  } finally {
    fetching = false;
    if (wanted) { wanted = false; setTimeout(refresh, 250); }
  }
}

if (sections) {
  const news = new EventSource("/live");
  news.addEventListener("rows", () => { if (!document.hidden) refresh(); else wanted = true; });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && wanted) { wanted = false; refresh(); } });
  news.onerror = () => { told.textContent = "not live: the server does not answer"; told.hidden = false; };
}

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
function show(event) {
  const mark = event.target.closest?.(".chart [aria-label]:not([aria-roledescription$=container])");
  tip.hidden = !mark || !mark.closest(".role-mark");
  if (tip.hidden) return;
  const box = mark.getBoundingClientRect();
  tip.textContent = mark.getAttribute("aria-label");
  tip.style.left = `${Math.max(8, Math.min(box.left + scrollX, scrollX + innerWidth - 300))}px`;
  tip.style.top = `${box.bottom + scrollY + 6}px`;
}
document.addEventListener("pointerover", show);
document.addEventListener("focusin", show);
