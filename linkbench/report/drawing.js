"use strict";
// Draws the figures of a page: Vega-Lite, interpreted (no code is made from text), as SVG.
(() => {
  const known = JSON.parse(document.getElementById("drawings").textContent);
  const night = matchMedia("(prefers-color-scheme: dark)");
  const make = (tag, words, parent) => {
    const node = document.createElement(tag);
    if (words) node.textContent = words;
    parent.append(node);
    return node;
  };

  const unpacked = (columns) => {
    const names = Object.keys(columns), rows = [];
    const first = columns[names[0]] ?? [], length = (first.of ? first.at : first).length;
    for (let at = 0; at < length; at++) {
      const row = {};
      for (const name of names) {
        const column = columns[name], value = column.of ? column.of[column.at[at]] : column[at];
        if (value !== null) row[name] = value;
      }
      rows.push(row);
    }
    return rows;
  };
  const darkened = (part) => {
    if (Array.isArray(part)) return part.map(darkened);
    if (part && typeof part === "object") return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, darkened(value)]));
    return known.dark[part] ?? part;
  };
  const nearest = (options, wanted) => {
    if (options.includes(wanted)) return wanted;
    if (typeof wanted !== "number") return options[0];
    return options.reduce((best, one) => Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best);
  };

  const drawings = [];
  class Drawing {
    constructor(box) {
      this.figure = known.figures[box.dataset.number];
      this.box = box;
      this.chart = box.querySelector(".chart");
      this.readout = box.querySelector(".readout");
      this.rows = unpacked(this.figure.rows);
      this.params = Object.fromEntries(this.figure.spec.params.map((one) => [one.name, one.value]));
      this.chart.addEventListener("keydown", (event) => this.key(event));
      this.chart.addEventListener("blur", () => this.point(-1));
      const tools = make("p", "", box);
      tools.className = "tools";
      for (const kind of ["SVG", "PNG"]) {
        const button = make("button", kind, tools);
        button.type = "button";
        button.title = `save as ${kind}`;
        button.addEventListener("click", () => this.save(kind.toLowerCase()));
      }
    }

    set(name, value) {
      const options = this.figure.options[name];
      if (options) value = nearest(options, value);
      else if (!(name in this.params)) return;
      this.params[name] = value;
      this.point(-1);
      if (this.view) this.view.signal(name, value).runAsync();
    }

    // one after the other; what is drawn already is drawn again only where that is asked for
    turn = Promise.resolve();
    draw(again = false) {
      const next = () => again || !this.view ? this.embed() : undefined;
      return this.turn = this.turn.then(next, next);
    }

    async embed() {
      this.view?.finalize();
      this.view = undefined;
      if (!this.chart.clientWidth || this.chart.closest("details:not([open])")) return;
      const params = this.figure.spec.params.map((one) => ({ ...one, value: this.params[one.name] }));
      const spec = { ...this.figure.spec, params, config: {
        ...known.config, axis: { ...known.config.axis, labelLimit: 0.46 * this.chart.clientWidth },
      } };
      const theme = night.matches ? "dark" : "light";
      const { view } = await vegaEmbed(this.chart, { ...(night.matches ? darkened(spec) : spec), data: { values: this.rows } }, {
        actions: false, ast: true, renderer: "svg", tooltip: { theme },
      });
      // what was switched meanwhile
      const moved = params.filter((one) => one.value !== this.params[one.name]);
      for (const one of moved) view.signal(one.name, this.params[one.name]);
      this.view = view;
      if (moved.length) await view.runAsync();
      this.box.dataset.drawn = theme;
    }

    // the points that are shown, line by line
    shown() {
      const switches = Object.keys(this.figure.options);
      return this.rows.filter((row) => "value" in row && !this.params.hidden.includes(row.name) &&
        switches.every((name) => !(name in row) || row[name] === this.params[name]));
    }

    key(event) {
      const rows = this.shown();
      const to = { ArrowRight: this.at + 1, ArrowLeft: this.at < 0 ? rows.length - 1 : this.at - 1, Home: 0, End: rows.length - 1 }[event.key];
      if (event.key === "Escape") this.point(-1);
      if (to === undefined) return;
      event.preventDefault();
      this.point(Math.max(0, Math.min(rows.length - 1, to)));
    }

    at = -1;
    point(at) {
      this.at = at;
      const row = this.shown()[at];
      const number = (value) => Number(value.toPrecision(3)).toLocaleString("en");
      const share = (value) => `${number(100 * value)}%`;
      const write = (this.figure.spec.encoding?.y.axis.format ?? "p").endsWith("p") ? share : number;
      this.readout.textContent = row ? [
        [row.row, row.name].filter(Boolean).join(", "), row.x && number(row.x), write(row.value),
        "low" in row && `${write(row.low)} to ${write(row.high)}`, row["against none"], row.attacker,
      ].filter(Boolean).join(" · ") : "";
      if (this.view) this.view.signal("at", row ? { name: row.name, x: row.x, row: row.row } : null).runAsync();
    }

    async save(kind) {
      const link = document.createElement("a");
      link.href = await this.view.toImageURL(kind, kind === "png" ? 2 : 1);
      link.download = [this.figure.name, ...Object.keys(this.figure.options).map((name) => `${name}-${this.params[name]}`)]
        .join("_").replace(/[^\w.-]+/g, "-") + `.${kind}`;
      link.click();
    }
  }

  for (const box of document.querySelectorAll(".drawing")) drawings.push(new Drawing(box));
  const draw = (within) => Promise.all(drawings.filter((one) => within.contains(one.box)).map((one) => one.draw()));

  // switches of the page, and those of one figure
  for (const form of document.querySelectorAll("form.switches")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    const section = form.closest("section");
    for (const select of form.elements) {
      const put = () => {
        const value = select.dataset.number === undefined ? select.value : Number(select.value);
        for (const one of drawings) if (!section || section.contains(one.box)) one.set(select.name, value);
        if (select.name === "channel") for (const one of document.querySelectorAll("[data-channel]")) one.hidden = one.dataset.channel !== value;
      };
      select.addEventListener("input", put);
      put();
    }
  }

  // legends: an entry shows or hides its line in all drawings of the figure
  for (const legend of document.querySelectorAll(".legend")) {
    const own = drawings.filter((one) => legend.closest("section").contains(one.box)), hidden = new Set();
    for (const entry of legend.querySelectorAll("li")) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...entry.childNodes);
      entry.append(button);
      button.addEventListener("click", () => {
        const { name } = entry.dataset, on = hidden.delete(name);
        if (!on) hidden.add(name);
        button.setAttribute("aria-pressed", String(on));
        for (const one of own) one.set("hidden", [...hidden]);
      });
    }
  }

  // what is folded or hidden is drawn when it is shown
  for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", () => draw(fold));
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = target && (target.closest("details") || target.querySelector("details"));
    if (fold) fold.open = true;
  };
  document.addEventListener("change", () => draw(document.body));
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
  night.addEventListener("change", () => { for (const one of drawings) one.draw(true); });
  open();
  draw(document.body);
})();
