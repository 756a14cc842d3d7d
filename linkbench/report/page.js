"use strict";
// Only a convenience: everything the page says stands in it without this script.
(() => {
  const make = (tag, words, parent) => {
    const node = document.createElement(tag);
    if (words) node.textContent = words;
    if (parent) parent.append(node);
    return node;
  };

  // tables: a click on a heading sorts
  for (const table of document.querySelectorAll("table.results")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[1].cells].forEach((head, column) => {
      const button = make("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const number = head.classList.contains("number");
        const was = head.getAttribute("aria-sort");
        const up = was ? was !== "ascending" : !number;
        for (const other of table.tHead.rows[1].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const sign = up ? 1 : -1;
        const key = (row) => {
          const cell = row.cells[column];
          if (!number) return cell.textContent;
          return cell.dataset.order === undefined ? null : Number(cell.dataset.order);
        };
        const compare = (a, b) => {
          const x = key(a), y = key(b);
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * (number ? x - y : x.localeCompare(y));
        };
        body.append(...[...body.rows].sort(compare));
      });
    });
  }

  // the cells of the run: those with all the words, and what is chosen
  const form = document.querySelector("form.search");
  if (form) {
    const table = document.querySelector("table.cells"), said = form.querySelector("output");
    const heads = [...table.tHead.rows[1].cells].map((head) => head.textContent);
    const update = () => {
      const words = form.elements.words.value.trim().toLowerCase().split(/\s+/);
      const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !(words.every((word) => text.includes(word)) &&
          chosen.every((select) => row.cells[heads.indexOf(select.name)].textContent === select.value));
        shown += !row.hidden;
      }
      const all = table.tBodies[0].rows.length;
      said.textContent = shown === all ? `${all} cells` : `${shown} of ${all} cells`;
    };
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", update);
    update();
  }
})();
