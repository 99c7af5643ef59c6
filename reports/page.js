// Sorting, filtering and tooltips for a page that is complete without them.
"use strict";
const body = document.querySelector("#table tbody");
const rows = [...body.rows].map((row) => ({ row, keys: JSON.parse(row.dataset.keys), text: row.textContent.toLowerCase() }));
const heads = [...document.querySelectorAll("#table th")];
const controls = document.querySelector(".controls");
const filters = [...controls.querySelectorAll("[data-filter]")];
const search = controls.querySelector("[data-search]");
const sorter = controls.querySelector("[data-sort]");

const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));

// An empty key sorts rows as the report has them. What was not measured stays last, whichever way.
function sort(key, descending) {
  const order = [...rows];
  if (key) {
    order.sort(({ keys: { [key]: a } }, { keys: { [key]: b } }) =>
      a === null || b === null ? (a === null) - (b === null) : descending ? compare(b, a) : compare(a, b));
  }
  body.append(...order.map(({ row }) => row));
  for (const head of heads) {
    head.ariaSort = head.dataset.key !== key ? "none" : descending ? "descending" : "ascending";
  }
  sorter.value = key;
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/);
  const wanted = filters.filter(({ value }) => value);
  for (const { row, text } of rows) {
    row.hidden = !words.every((word) => text.includes(word)) || wanted.some(({ dataset, value }) => row.dataset[dataset.filter] !== value);
  }
  const model = filters.find(({ dataset }) => dataset.filter === "model").value;
  for (const panel of document.querySelectorAll(".panel")) panel.hidden = model !== "" && panel.dataset.model !== model;
  controls.querySelector("output").textContent = `${rows.filter(({ row }) => !row.hidden).length} of ${rows.length} cells`;
}

for (const head of heads) {
  head.firstChild.addEventListener("click", () => sort(head.dataset.key, head.ariaSort === "ascending"));
}
sorter.addEventListener("change", () => sort(sorter.value, false));
controls.addEventListener("input", filter);
controls.hidden = false;
filter();

const tip = document.querySelector("#tip");

function show(point) {
  const box = point.getBoundingClientRect();
  tip.textContent = point.ariaLabel.replace(/^Row \d+: /, "").replaceAll(/(?:: |; )/g, "\n");
  tip.hidden = false;
  tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.top > tip.offsetHeight + 12 ? box.top - tip.offsetHeight - 8 : box.bottom + 8}px`;
}

// A point leads to its row, which a filter may have hidden.
function find(point) {
  const row = document.querySelector(`#row-${point.ariaLabel.match(/^Row (\d+):/)[1]}`);
  if (row.hidden) {
    for (const control of [search, ...filters]) control.value = "";
    filter();
  }
  for (const { row: other } of rows) other.classList.toggle("found", other === row);
  row.scrollIntoView({ block: "center", behavior: "smooth" });
  row.focus({ preventScroll: true });
}

// One tab stop a chart; arrows walk its points from cheap to dear.
for (const drawing of document.querySelectorAll("figure")) {
  const points = [...drawing.querySelectorAll('[aria-roledescription="point"]')];
  points.sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left);
  points.forEach((point, at) => {
    point.tabIndex = at === 0 ? 0 : -1;
    point.addEventListener("pointerenter", () => show(point));
    point.addEventListener("focus", () => show(point));
    for (const end of ["pointerleave", "blur"]) point.addEventListener(end, () => { tip.hidden = true; });
    point.addEventListener("click", () => find(point));
    point.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (step) points[(at + step + points.length) % points.length].focus();
      else if (event.key === "Enter") find(point);
      else if (event.key === "Escape") tip.hidden = true;
      else return;
      event.preventDefault();
    });
  });
}
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
