"use strict";
const spec = JSON.parse(document.getElementById("spec").textContent);
document.body.style.background = spec.config.background;
vegaEmbed("#figure", spec, { ast: true, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } });
