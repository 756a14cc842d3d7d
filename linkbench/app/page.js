"use strict";
const $ = (id) => document.getElementById(id);
const strengths = $("strength").dataset.strengths.split(" ");
let visit = "";           // where this visit's files are, relative to the page
let current = 0;          // the job whose progress is shown
let timer = 0;            // waits until the slider rests
let drawn = 0;            // makes addresses of pictures new
const latest = new Map(); // by kind, the job that counts
const over = new Set();   // jobs whose end was told: a stream that begins anew tells it again

function say(text) { $("status").textContent = text; }

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
  if (text) $("problem").scrollIntoView({ block: "nearest" });
}

async function ask(method, path, body, type) {
  const headers = type ? { "content-type": type } : {};
  let answer;
  try { answer = await fetch(path, { method, body, headers }); }
  catch { throw new Error("linkbench does not answer: was it stopped on the terminal?"); }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function photos() { return [...$("album").children].filter((item) => item.dataset.faces > 0); }

function refresh() {
  const some = photos();
  for (const id of ["ask-risk", "ask-protect", "strength", "which", "views"]) $(id).disabled = some.length === 0;
  const chosen = $("which").value;
  $("which").replaceChildren(...some.map((item) => new Option(item.dataset.name, item.dataset.photo)));
  if (some.some((item) => item.dataset.photo === chosen)) $("which").value = chosen;
  if (some.length === 0) $("preview").hidden = true;
  else if ($("which").value !== chosen) preview();
}

async function bring(files) {
  complain("");
  for (const file of files) {
    const photo = /\.(jpe?g|png|webp|hei[cf])$/i.test(file.name);
    say(`${file.name} is read`);
    try { await (photo ? addPhoto(file) : addGenotype(file)); }
    catch (error) { complain(error.message); say(""); }
  }
}

async function addPhoto(file) {
  const seen = await ask("POST", `${visit}/photos?name=${encodeURIComponent(file.name)}`, file, "application/octet-stream");
  const item = document.createElement("li");
  Object.assign(item.dataset, { photo: seen.photo, faces: seen.faces, name: seen.name });
  const faces = seen.faces === 0 ? "no face was found" : seen.faces === 1 ? "1 face" : `${seen.faces} faces`;
  const image = document.createElement("img");
  image.src = `${visit}/photos/${seen.photo}/whole`;
  image.alt = `${seen.name}, ${faces} marked`;
  item.append(image);
  element("div", `${seen.name}, ${seen.width} × ${seen.height}: ${faces}`, item);
  for (const what of seen.lost) element("div", `Will be lost: ${what}`, item);
  const remove = element("button", "Remove", item);
  remove.type = "button";
  remove.setAttribute("aria-label", `Remove ${seen.name}`);
  remove.addEventListener("click", async () => {
    try { await ask("DELETE", `${visit}/photos/${seen.photo}`); } catch (error) { complain(error.message); return; }
    item.remove();
    $("photos").focus();
    say(`${seen.name} is removed`);
    refresh();
  });
  $("album").append(item);
  say(`${seen.name}: ${faces}`);
  refresh();
}

async function addGenotype(file) {
  const seen = await ask("POST", `${visit}/genotype?name=${encodeURIComponent(file.name)}`, file, "application/octet-stream");
  const sex = seen.sex ? `, sex ${seen.sex}` : "";
  $("genome").firstElementChild.textContent = `${seen.name} (${seen.form}): ${seen.known} of ${seen.of} SNPs are known${sex}.`;
  $("genome").hidden = false;
  say(`${seen.name} is read`);
  preview();
}

function person() {
  const phenotypes = {};
  for (const select of document.querySelectorAll("[data-phenotype]")) {
    if (select.value) phenotypes[select.dataset.phenotype] = select.value;
  }
  return { phenotypes, ancestry: $("ancestry").value };
}

async function begin(kind, more) {
  complain("");
  try {
    const begun = await ask("POST", `${visit}/jobs`, JSON.stringify({ kind, ...person(), ...more }), "application/json");
    latest.set(kind, begun.job);
  } catch (error) { complain(error.message); }
}

function preview() {
  $("amount").textContent = `${strengths[$("strength").value]}/255 a colour`;
  $("strength").setAttribute("aria-valuetext", $("amount").textContent);
  clearTimeout(timer);
  if (photos().length === 0) return;
  $("preview").classList.add("stale");
  timer = setTimeout(() => begin("preview", { photo: Number($("which").value), strength: Number($("strength").value) }), 250);
}

const working = { risk: "Looking", preview: "Preview", protect: "Protecting" };

function hear(state) {
  const running = state.state === "waiting" || state.state === "running";
  if (latest.has(state.kind) && state.job < latest.get(state.kind)) return;
  if (running) {
    current = state.job;
    $("working").hidden = false;
    $("progress").value = state.part ?? 0;
    $("doing").textContent = `${working[state.kind]}: ${state.text}`;
    return;
  }
  if (over.has(state.job)) return;
  over.add(state.job);
  if (state.job >= current) $("working").hidden = true;
  if (state.state === "failed") { complain(state.text); say(""); }
  if (state.state === "done") ({ risk: showRisk, preview: showPreview, protect: showMade })[state.kind](state.result);
}

function showRisk() {
  $("risk").hidden = false;
  $("risk").src = `${visit}/risk?${++drawn}`;
  say("What your photos give away is shown.");
}

$("risk").addEventListener("load", () => {
  const inside = $("risk").contentDocument;
  if (inside && inside.body) $("risk").style.height = `${inside.documentElement.scrollHeight + 8}px`;
});

function showPreview(result) {
  const name = $("which").selectedOptions[0]?.textContent ?? "";
  for (const view of ["before", "after", "difference"]) {
    $(view).src = `${visit}/photos/${result.photo}/${view}?${++drawn}`;
    $(view).alt = `${name}, largest face, ${view}`;
  }
  const { changed } = result.faces[0];
  $("changed").textContent = `Largest face: SSIM ${changed.ssim.toFixed(3)}, Delta E ${changed.delta_e.toFixed(1)} in the mean, ` +
    `${changed.delta_e_95.toFixed(1)} at the 95th percentile. Shown before it is written as a file; checked without posting.`;
  const table = $("attackers");
  table.replaceChildren();
  const head = element("tr", "", element("thead", "", table));
  for (const title of ["network", "face", "rank before", "rank after", "reads before", "reads after"]) element("th", title, head).scope = "col";
  const body = element("tbody", "", table);
  result.faces.forEach((face, number) => {
    for (const each of face.opponents) {
      const row = element("tr", "", body);
      element("th", each.predictor + (each.seen_by_the_defence ? "" : " (never seen)"), row).scope = "row";
      element("td", number + 1, row);
      for (const side of [each.before, each.after]) element("td", Math.round(side.file.rank), row);
      for (const side of [each.before, each.after]) element("td", read(side.reads), row);
    }
  });
  $("preview").hidden = false;
  $("preview").classList.remove("stale");
  say(`Preview of ${name} at ${$("amount").textContent}.`);
}

function read(reads) {
  return Object.values(reads).map((variants) => Object.entries(variants).sort((a, b) => b[1] - a[1])[0][0]).join(", ");
}

function showMade(result) {
  $("made").replaceChildren();
  let good = 0;
  for (const { name, record } of result.made) {
    if (record.failed) { element("li", `${name}: ${record.failed}`, $("made")).className = "alarm"; continue; }
    good += 1;
    const ranks = record.faces.flatMap((face) => face.opponents.flatMap((each) =>
      Object.entries(each.after).filter(([posting]) => posting !== "reads").map(([, verdict]) => verdict.rank)));
    const faces = record.faces.length === 1 ? "1 face" : `${record.faces.length} faces`;
    element("li", `${name}: ${faces} changed; the best rank of any attacker, as written and in each posting, is ${Math.round(Math.min(...ranks))} of 1,000`, $("made"));
  }
  $("download").href = `${visit}/download`;
  $("download").hidden = good === 0;
  $("done").hidden = false;
  $("done-title").focus();
  say(`${good} of ${result.made.length} photos are protected and checked.`);
}

function listen() {
  const source = new EventSource(`${visit}/events`);
  source.addEventListener("message", (event) => hear(JSON.parse(event.data)));
}

async function start() {
  try { visit = `sessions/${(await ask("POST", "sessions")).session}`; }
  catch (error) { complain(error.message); return; }
  listen();
  document.documentElement.dataset.ready = "yes";
}

$("photos").addEventListener("change", (event) => { bring([...event.target.files]); event.target.value = ""; });
$("genotype").addEventListener("change", (event) => { bring([...event.target.files]); event.target.value = ""; });
$("no-genotype").addEventListener("click", async () => {
  try { await ask("DELETE", `${visit}/genotype`); } catch (error) { complain(error.message); return; }
  $("genome").hidden = true;
  $("genotype").focus();
  preview();
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  bring([...event.dataTransfer.files]);
});
$("strength").addEventListener("input", preview);
$("which").addEventListener("change", preview);
for (const select of document.querySelectorAll("#person select")) select.addEventListener("change", preview);
$("views").addEventListener("change", (event) => {
  for (const figure of document.querySelectorAll("[data-view]")) {
    figure.hidden = (figure.dataset.view === "difference") !== (event.target.value === "difference");
  }
});
$("ask-risk").addEventListener("click", () => begin("risk", {}));
$("ask-protect").addEventListener("click", () => {
  $("done").hidden = true; // what was made before is written over
  begin("protect", { strength: Number($("strength").value) });
});
$("cancel").addEventListener("click", async () => {
  try { await ask("DELETE", `${visit}/jobs/${current}`); } catch (error) { complain(error.message); return; }
  say("Cancelled.");
});
addEventListener("pagehide", () => { if (visit) fetch(visit, { method: "DELETE", keepalive: true }); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // the files are gone
preview();
start();
