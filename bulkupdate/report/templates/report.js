"use strict";
// A table: search, sort, and show one page at a time. So the browser stays fast with a hundred
// thousand rows. The ids of its elements begin with a prefix.
function show(prefix) {
  const PAGE = 25;
  const part = (name) => document.getElementById(prefix + name);
  if (!part("data")) {
    return;
  }
  const rows = JSON.parse(part("data").textContent);
  // The texts to search in, created at the first search.
  let texts = null;
  const table = part("table");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const [controls, search, pages, previous, next] =
    ["controls", "search", "pages", "previous", "next"].map(part);
  // Only the table of rows has this choice, and a column for it.
  const outcome = part("outcome");
  const kinds = headers.map((header) => header.dataset.kind);
  const told = kinds.indexOf("outcome");
  let shown = rows.map((_, index) => index);
  let page = 0;
  let sorted = { column: 0, step: 1 };

  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);

  function sort() {
    const { column, step } = sorted;
    shown.sort((a, b) => step * compare(rows[a][column], rows[b][column]) || a - b);
    for (const [index, header] of headers.entries()) {
      if (index === column) {
        header.setAttribute("aria-sort", step > 0 ? "ascending" : "descending");
      } else {
        header.removeAttribute("aria-sort");
      }
    }
  }

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !texts) {
      texts = rows.map((cells) => cells.join(" ").toLowerCase());
    }
    shown = [];
    for (let index = 0; index < rows.length; index++) {
      const isWanted = !outcome?.value || rows[index][told] === outcome.value;
      if (isWanted && words.every((word) => texts[index].includes(word))) {
        shown.push(index);
      }
    }
    page = 0;
    sort();
    draw();
  }

  function draw() {
    const count = Math.max(1, Math.ceil(shown.length / PAGE));
    const lines = document.createDocumentFragment();
    for (const index of shown.slice(page * PAGE, (page + 1) * PAGE)) {
      const line = document.createElement("tr");
      for (const [column, cell] of rows[index].entries()) {
        const field = document.createElement("td");
        // Always text, never HTML.
        field.textContent = typeof cell === "number" ? cell.toLocaleString("en") : cell;
        field.className = column === told ? cell : kinds[column];
        line.append(field);
      }
      lines.append(line);
    }
    body.replaceChildren(lines);
    const total = rows.length.toLocaleString("en");
    const found = shown.length.toLocaleString("en");
    part("found").textContent =
      shown.length === rows.length ? `${total} rows` : `${found} of ${total} rows`;
    part("page").textContent = `Page ${page + 1} of ${count}`;
    pages.hidden = count === 1;
    previous.setAttribute("aria-disabled", String(page === 0));
    next.setAttribute("aria-disabled", String(page === count - 1));
  }

  function turn(step) {
    const count = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(count - 1, Math.max(0, page + step));
    draw();
  }

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 120);
  });
  outcome?.addEventListener("change", find);
  controls.addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  for (const [column, header] of headers.entries()) {
    header.firstElementChild.addEventListener("click", () => {
      sorted = { column, step: sorted.column === column ? -sorted.step : 1 };
      page = 0;
      sort();
      draw();
    });
  }
  controls.hidden = false;
  sort();
  draw();
}

// The table of accounts is in the page itself, so that it is there without a script. A search hides
// the rows that do not match.
function filter() {
  const [controls, search, found, rest] =
    ["controls", "search", "found", "rest"].map((name) => document.getElementById(`account-${name}`));
  if (!controls) {
    return;
  }
  const rows = [...document.querySelectorAll("#account-section tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const folded = rest ? [...rest.querySelectorAll("tbody tr")] : [];

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [index, row] of rows.entries()) {
      row.hidden = !words.every((word) => texts[index].includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    found.textContent =
      shown === rows.length ? `${rows.length} accounts` : `${shown} of ${rows.length} accounts`;
    if (rest) {
      rest.open = words.length > 0;
      rest.hidden = folded.every((row) => row.hidden);
    }
  }

  search.addEventListener("input", find);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  find();
}

filter();
show("change-");
show("");
