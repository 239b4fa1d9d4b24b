// The page: charts where their data stand, tasks to pick, the panel, and a server to ask where there is one.
const read = script => JSON.parse(script.textContent);
const buttons = [...document.querySelectorAll("[data-pick]")];
const off = new Set();
const picked = metric => !off.has(metric);

const charts = [...document.querySelectorAll("figure.chart")].map(figure => ({
  figure, spec: read(figure.querySelector("script")), width: 0,
}));
const drawAll = (force, fixed) => {
  for (const chart of charts) {
    const width = fixed || chart.figure.clientWidth;
    if (width && (force || width !== chart.width)) {
      chart.width = width;
      drawChart(chart.figure, chart.spec, picked, width);
    }
  }
};

const panel = document.getElementById("whatif-data");
const redrawPanel = panel ? startWhatIf(read(panel), read(document.getElementById("whatif-runs")), picked) : () => {};

const pick = () => {
  for (const button of buttons) button.setAttribute("aria-pressed", String(picked(button.dataset.pick)));
  for (const item of document.querySelectorAll("[data-metric]")) item.hidden = !picked(item.dataset.metric);
  for (const chart of charts) if (chart.spec.kind === "rows") chart.width = 0;
  drawAll(false);
  redrawPanel();
};
for (const button of buttons)
  button.addEventListener("click", () => {
    const name = button.dataset.pick;
    if (!off.size) for (const other of buttons) off.add(other.dataset.pick); // the first pick shows that one alone
    if (!off.delete(name)) off.add(name);
    if (off.size === buttons.length) off.clear();
    pick();
  });
document.getElementById("pick-all")?.addEventListener("click", () => { off.clear(); pick(); });

const chooser = document.getElementById("pick-fit");
const blocks = [...document.querySelectorAll(".fit")];
const showFit = () => {
  for (const block of blocks) block.classList.toggle("away", block.id !== chooser.value);
  drawAll(false);
};
if (chooser) { chooser.addEventListener("change", showFit); showFit(); }

drawAll(true);
new ResizeObserver(() => { drawAll(false); }).observe(document.body);
let wide = innerWidth;
addEventListener("resize", () => { hideTip(); if (innerWidth !== wide) { wide = innerWidth; redrawPanel(); } });
addEventListener("scroll", () => { if (follow) follow(); else hideTip(); }, { passive: true });
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const block of blocks) block.classList.remove("away");
  drawAll(true, 640);
});
addEventListener("afterprint", () => { if (chooser) showFit(); drawAll(true); });

if (document.body.dataset.live !== undefined) {
  const KEPT = "foretell", FIELDS = ["text-N", "text-D", "level", "focus", "pick-fit"];
  const keep = () => { // what a reader chose outlives the reload; fields left as the page made them follow the new page
    const fields = {};
    for (const id of FIELDS) {
      const field = document.getElementById(id);
      if (field && field.value !== made[id]) fields[id] = field.value;
    }
    const sections = [...document.querySelectorAll("main > section")];
    const place = sections.map(section => [section.id, section.getBoundingClientRect().top]).filter(([, top]) => top < 80).pop();
    sessionStorage.setItem(KEPT, JSON.stringify({ off: [...off], fields, place }));
  };
  const bring = () => {
    const kept = sessionStorage.getItem(KEPT);
    sessionStorage.removeItem(KEPT);
    if (!kept) return;
    const { off: gone, fields, place } = JSON.parse(kept);
    const known = new Set(buttons.map(button => button.dataset.pick));
    for (const name of gone) if (known.has(name)) off.add(name);
    if (off.size && off.size < buttons.length) pick(); else off.clear();
    for (const id of FIELDS) {
      const field = document.getElementById(id);
      if (!field || fields[id] === undefined) continue;
      const before = field.value;
      field.value = fields[id];
      if (field.value === "") field.value = before; // a choice that is no longer there
      field.dispatchEvent(new Event("change"));
    }
    const section = place && document.getElementById(place[0]);
    history.scrollRestoration = section ? "manual" : "auto"; // the browser counts pixels of a page that has grown
    const back = () => {
      scrollBy({ top: section.getBoundingClientRect().top - place[1], behavior: "instant" });
      history.scrollRestoration = "auto";
    };
    if (section) requestAnimationFrame(() => requestAnimationFrame(back)); // when the panel is drawn
  };
  const made = Object.fromEntries(FIELDS.map(id => [id, document.getElementById(id)?.value]));
  try { bring(); } catch { /* storage is closed to this page: it comes as it was made */ }
  const ask = async () => {
    try {
      const { version } = await (await fetch("/version", { cache: "no-store" })).json();
      if (version !== document.body.dataset.live) {
        try { keep(); } catch { /* storage is closed to this page */ }
        location.reload();
        return;
      }
    } catch { /* the server is gone; the page stays as it is */ }
    setTimeout(ask, 2000);
  };
  ask();
}
