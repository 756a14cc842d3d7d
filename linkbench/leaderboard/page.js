"use strict";
// Only a convenience: everything the page says stands in it without this script. Numbers come from the embedded JSON.
(() => {
  const channels = new Map(JSON.parse(document.getElementById("data").textContent).map((one) => [one.id, one]));
  const trust = { claimed: 0, recomputed: 1, rerun: 2, fresh: 3 };
  const numeric = new Set(["rank", "epsilon", "worst", "lift", "auc", "ssim", "cost"]);

  for (const part of document.querySelectorAll(".channel")) {
    const known = channels.get(part.dataset.id), rows = known.rows;
    const table = part.querySelector("table.board"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const lines = new Map([...body.rows].map((line) => [line.dataset.key, line]));
    const form = part.querySelector(".filters"), said = form.querySelector("output");
    let sorted = { by: "rank", up: true };
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());

    const value = (row, by) => by === "badge" ? trust[row.badge] : by === "rank" ? rows.indexOf(row) : row[by];
    const compare = (a, b) => {
      const x = value(a, sorted.by), y = value(b, sorted.by);
      if (x === null || y === null) return (x === null) - (y === null) || rows.indexOf(a) - rows.indexOf(b);
      const order = typeof x === "number" ? x - y : x.localeCompare(y);
      return (sorted.up ? order : -order) || rows.indexOf(a) - rows.indexOf(b);
    };
    const wanted = (row) => {
      const text = form.elements.text.value.trim().toLowerCase(), budget = form.elements.budget.value;
      const all = `${row.label} ${row.entry} ${row.flags} ${row.badge} ${row.against}`.toLowerCase();
      return text.split(/\s+/).every((word) => all.includes(word)) && (!form.elements.flagged.checked || !row.flags) &&
        (budget === "" || (row.size !== null && row.size <= Number(budget) + 1e-6)) &&
        trust[row.badge] >= Number(form.elements.badge.value);
    };
    // between neighbours that are shown a line says that a test tells them apart
    const part_lines = (shown) => {
      shown.forEach((row, at) => {
        const next = shown[at + 1];
        const line = lines.get(row.key);
        line.classList.toggle("apart", !next || next.rank === null || Boolean(known.apart[rows.indexOf(row)][rows.indexOf(next)]));
      });
    };
    const update = () => {
      const shown = rows.filter(wanted);
      part_lines(shown);
      for (const [key, line] of lines) line.hidden = !shown.some((row) => row.key === key);
      body.append(...[...rows].sort(compare).map((row) => lines.get(row.key)));
      table.classList.toggle("by-rank", sorted.by === "rank" && sorted.up);
      for (const head of heads) {
        if (head.dataset.sort === sorted.by) head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      }
      said.textContent = shown.length === rows.length ? `${rows.length} rows` : `${shown.length} of ${rows.length} rows`;
    };
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const by = head.dataset.sort, falls = numeric.has(by) && !["rank", "epsilon", "worst"].includes(by);
        sorted = { by, up: sorted.by === by ? !sorted.up : !falls };
        update();
      });
    }
    form.addEventListener("input", update);
    update();
  }
})();
