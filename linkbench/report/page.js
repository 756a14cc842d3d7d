"use strict";
// Only a convenience: everything the page says stands in it without this script.
(() => {
  const table = document.querySelector("table.cells");
  if (!table) return;
  const heads = [...table.tHead.rows[1].cells], body = table.tBodies[0];
  const names = heads.map((head) => head.textContent);

  // a click on a heading sorts
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = names[column];
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const number = head.classList.contains("number");
      const was = head.getAttribute("aria-sort");
      const up = was ? was !== "ascending" : !number;
      for (const other of heads) other.removeAttribute("aria-sort");
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

  // the form leaves the rows with all its words and with what is chosen
  const form = document.querySelector("form.search"), said = form.querySelector("output");
  const update = () => {
    const words = form.elements.words.value.trim().toLowerCase().split(/\s+/);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(words.every((word) => text.includes(word)) &&
        chosen.every((select) => row.cells[names.indexOf(select.name)].textContent === select.value));
      shown += !row.hidden;
    }
    const all = body.rows.length;
    said.textContent = shown === all ? `${all} cells` : `${shown} of ${all} cells`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", update);
  update();
})();
