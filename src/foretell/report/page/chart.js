// Charts: small SVG drawings of the data beside them, redrawn when their width changes.
const SVG = "http://www.w3.org/2000/svg";

const el = (name, attributes = {}, ...children) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const html = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const tip = document.getElementById("tip");

const showTip = (lines, x, y) => {
  tip.replaceChildren(...lines.map(line => html("div", {}, line)));
  tip.hidden = false;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${y - height - 12 > 4 ? y - height - 12 : y + 16}px`;
};
const hideTip = () => { tip.hidden = true; };
let follow = null; // puts the tip back beside its mark when the page moves; only where the keyboard put it there

const extent = (values, axis) => {
  const kept = values.filter(v => Number.isFinite(v) && (!axis.log || v > 0));
  if (axis.zero) kept.push(0);
  if (!kept.length) return axis.log ? [1, 10] : [0, 1];
  let low = kept[0], high = kept[0];
  for (const v of kept) { if (v < low) low = v; if (v > high) high = v; }
  if (axis.log) {
    const pad = Math.max(0.04 * Math.log(high / low), 0.02);
    return [low * Math.exp(-pad), high * Math.exp(pad)];
  }
  const pad = 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
  return [axis.zero && low === 0 ? 0 : low - pad, high + pad];
};

const scaleOf = (axis, domain, from, to) => {
  const f = axis.log ? Math.log : v => v;
  const [a, b] = [f(domain[0]), f(domain[1])];
  return v => from + (f(v) - a) / (b - a) * (to - from);
};

const ticksOf = (axis, [low, high], most) => {
  if (axis.log && high / low > 8) {
    const made = [];
    const decades = Math.log10(high / low);
    const every = Math.max(1, Math.ceil(decades / most));
    const steps = decades > most / 2.5 ? [1] : decades > most / 4 ? [1, 3] : [1, 2, 5];
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k += 1)
      for (const s of steps) {
        const v = s * 10 ** k;
        if (v >= low && v <= high && (steps.length > 1 || k % every === 0)) made.push(v);
      }
    return made;
  }
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find(s => s * power >= rough);
  const made = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) made.push(Number((i * step).toPrecision(12)));
  return made;
};

const marker = (mark, x, y) => mark === "diamonds"
  ? el("path", { d: `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z` })
  : el("circle", { cx: x, cy: y, r: 3.6 });

const pathOf = (xs, ys) => {
  let text = "", pen = "M";
  for (let i = 0; i < xs.length; i += 1) {
    if (!Number.isFinite(xs[i]) || !Number.isFinite(ys[i])) { pen = "M"; continue; }
    text += `${pen}${xs[i].toFixed(1)} ${ys[i].toFixed(1)}`;
    pen = "L";
  }
  return text;
};

// marks are what can be pointed at: {x, y, lines}
const makeReadable = (svg, marks, label) => {
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}. ${marks.length} marks; step through them with the arrow keys.`);
  svg.setAttribute("tabindex", "0");
  const ring = el("circle", { r: 7, class: "ring", visibility: "hidden" });
  svg.append(ring);
  let at = -1;
  const point = (mark, clientX, clientY) => {
    ring.setAttribute("cx", mark.x); ring.setAttribute("cy", mark.y); ring.setAttribute("visibility", "visible");
    showTip(mark.lines, clientX, clientY);
  };
  const leave = () => { ring.setAttribute("visibility", "hidden"); at = -1; follow = null; hideTip(); };
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = 40 ** 2;
    for (const mark of marks) {
      const away = (mark.x - x) ** 2 + (mark.y - y) ** 2 + (mark.faint ? 200 : 0);
      if (away < least) { least = away; best = mark; }
    }
    if (best) point(best, box.left + best.x, box.top + best.y); else leave();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") leave();
    if (!step || !marks.length) return;
    event.preventDefault();
    at = at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length;
    follow = () => {
      const box = svg.getBoundingClientRect();
      point(marks[at], box.left + marks[at].x, box.top + marks[at].y);
    };
    follow();
  });
};

const drawXY = (spec, width) => {
  const { x: X, y: Y, height } = spec;
  const all = key => spec.series.flatMap(s => s[key] || []);
  const dx = extent(all("x"), X), dy = extent([...all("y"), ...all("low"), ...all("high")], Y);
  const yTicks = ticksOf(Y, dy, height / 48);
  const left = 14 + 7 * Math.max(...yTicks.map(v => writeTick(Y.unit, v).length), 2), top = 22;
  const fx = scaleOf(X, dx, left, width - 14), fy = scaleOf(Y, dy, height - 42, top);
  const svg = el("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const grid = el("g", { class: "axis" });
  for (const v of yTicks) {
    grid.append(el("line", { x1: left, x2: width - 14, y1: fy(v), y2: fy(v) }));
    grid.append(el("text", { x: left - 6, y: fy(v) + 4, "text-anchor": "end" }, writeTick(Y.unit, v)));
  }
  let lastEnd = -Infinity;
  for (const v of ticksOf(X, dx, width / 90)) {
    const text = writeTick(X.unit, v), half = 3.4 * text.length;
    if (fx(v) - half < lastEnd + 6) continue;
    lastEnd = fx(v) + half;
    grid.append(el("line", { x1: fx(v), x2: fx(v), y1: height - 42, y2: height - 38 }));
    grid.append(el("text", { x: Math.min(fx(v), width - half), y: height - 24, "text-anchor": "middle" }, text));
  }
  grid.append(el("text", { x: (left + width - 14) / 2, y: height - 6, "text-anchor": "middle", class: "label" }, X.label));
  grid.append(el("text", { x: 2, y: 11, class: "label" }, Y.label));
  svg.append(grid);
  const marks = [];
  const order = { band: 0, rule: 1, line: 2, dashed: 2, points: 3, diamonds: 4 };
  for (const s of [...spec.series].sort((a, b) => order[a.mark] - order[b.mark])) {
    const g = el("g", { class: `series ${s.colour} ${s.mark}` });
    svg.append(g);
    if (s.mark === "rule") {
      for (const v of s.y) g.append(el("line", { x1: left, x2: width - 14, y1: fy(v), y2: fy(v) }));
      continue;
    }
    const xs = s.x.map(v => v === null ? NaN : fx(v));
    if (s.mark === "band") {
      const lows = s.low.map(v => v === null ? NaN : fy(v)), highs = s.high.map(v => v === null ? NaN : fy(v));
      g.append(el("path", { d: `${pathOf(xs, highs)}${pathOf([...xs].reverse(), [...lows].reverse()).replace("M", "L")}Z` }));
      continue;
    }
    const ys = s.y.map(v => v === null ? NaN : fy(v));
    const isLine = s.mark === "line" || s.mark === "dashed";
    if (isLine) g.append(el("path", { d: pathOf(xs, ys) }));
    xs.forEach((x, i) => {
      if (!Number.isFinite(x) || !Number.isFinite(ys[i])) return;
      if (!isLine) {
        if (s.low) g.append(el("line", { x1: x, x2: x, y1: fy(s.low[i]), y2: fy(s.high[i]), class: "whisker" }));
        g.append(marker(s.mark, x, ys[i]));
      } else if (!s.text) return;
      const said = [s.text ? s.text[i] : s.name, `${X.label.split(",")[0]}: ${WRITE[X.unit](s.x[i])}`,
        `${Y.label.split(",")[0]}: ${WRITE[Y.unit](s.y[i])}`];
      if (s.low && s.mark !== "band") said.push(`${WRITE[Y.unit](s.low[i])} – ${WRITE[Y.unit](s.high[i])}`);
      marks.push({ x, y: ys[i], lines: said, faint: isLine });
    });
  }
  marks.sort((a, b) => a.faint === b.faint ? a.x - b.x : a.faint ? 1 : -1);
  makeReadable(svg, marks, spec.label);
  return svg;
};

const drawRows = (spec, width, picked) => {
  const shown = spec.rows.filter(row => picked(row.metric));
  const X = spec.x, step = 34, height = 40 + step * shown.length;
  const left = Math.min(8 + 7.2 * Math.max(4, ...shown.map(row => row.name.length)), 0.36 * width, 190);
  const numbers = shown.flatMap(row => [row.value, row.measured, row.largest, ...(row.outer || [])])
    .filter(v => typeof v === "number");
  const domain = extent(numbers, X), fx = scaleOf(X, domain, left + 6, width - 16);
  const svg = el("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const grid = el("g", { class: "axis" });
  for (const v of ticksOf(X, domain, (width - left) / 70)) {
    grid.append(el("line", { x1: fx(v), x2: fx(v), y1: 4, y2: height - 36 }));
    grid.append(el("text", { x: fx(v), y: height - 20, "text-anchor": "middle" }, writeTick(X.unit, v)));
  }
  grid.append(el("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle", class: "label" }, X.label));
  svg.append(grid);
  const marks = [];
  const write = WRITE[X.unit];
  shown.forEach((row, i) => {
    const y = 4 + step * (i + 0.5);
    const room = Math.floor(left / 7.2);
    const name = row.name.length > room ? `${row.name.slice(0, room - 1)}…` : row.name;
    svg.append(el("text", { x: left, y: y + 4, "text-anchor": "end", class: "row" }, name));
    const lines = [row.name, `forecast: ${write(row.value)}`];
    const g = el("g", { class: "series blue rows" });
    if (row.outer) {
      g.append(el("line", { x1: fx(row.outer[0]), x2: fx(row.outer[1]), y1: y, y2: y, class: "outer" }));
      g.append(el("line", { x1: fx(row.inner[0]), x2: fx(row.inner[1]), y1: y, y2: y, class: "inner" }));
      lines.push(`${plain(100 * spec.level, 3)} %: ${write(row.outer[0])} – ${write(row.outer[1])}`);
    }
    g.append(marker("points", fx(row.value), y));
    svg.append(g);
    if (typeof row.largest === "number") {
      const x = fx(row.largest);
      svg.append(el("g", { class: "series grey" }, el("line", { x1: x, x2: x, y1: y - 8, y2: y + 8, class: "tick" })));
      lines.push(`largest small run: ${write(row.largest)}`);
    }
    if (typeof row.measured === "number") {
      svg.append(el("g", { class: "series orange" }, marker("diamonds", fx(row.measured), y)));
      lines.push(`measured: ${write(row.measured)}`);
    }
    marks.push({ x: fx(row.value), y, lines });
  });
  makeReadable(svg, marks, spec.label);
  return svg;
};

const legendOf = spec => {
  const entries = [];
  const add = (name, mark, colour) => {
    if (!entries.some(([n, m, c]) => (n === name || c === "thin") && m === mark && c === colour)) entries.push([name, mark, colour]);
  };
  if (spec.kind === "rows") {
    add("forecast", "points", "blue");
    if (spec.rows.some(row => row.outer)) add(`${plain(100 * spec.level, 3)} % and 50 % interval`, "band", "blue");
    if (spec.rows.some(row => typeof row.measured === "number")) add("measured", "diamonds", "orange");
    add("largest small run", "tick", "grey");
  } else {
    for (const s of spec.series) if (s.mark !== "rule") add(s.name, s.mark, s.colour);
    if (entries.length < 2 || entries.length > 7 || entries.every(([, mark]) => mark === "line")) return null;
  }
  const list = html("ul", { class: "legend" });
  for (const [name, mark, colour] of entries) {
    const svg = el("svg", { width: 22, height: 12, "aria-hidden": "true" });
    const g = el("g", { class: `series ${colour} ${mark}` });
    if (mark === "band") g.append(el("rect", { x: 0, y: 2, width: 22, height: 8 }));
    else if (mark === "tick") g.append(el("line", { x1: 11, x2: 11, y1: 0, y2: 12, class: "tick" }));
    else if (mark === "line" || mark === "dashed") g.append(el("path", { d: "M0 6L22 6" }));
    else g.append(marker(mark, 11, 6));
    svg.append(g);
    list.append(html("li", {}, svg, name));
  }
  return list;
};

const drawChart = (figure, spec, picked, width) => {
  const old = figure.querySelector(":scope > svg");
  const svg = spec.kind === "rows" ? drawRows(spec, width, picked) : drawXY(spec, width);
  if (old) old.replaceWith(svg);
  else {
    figure.prepend(svg);
    const legend = legendOf(spec);
    if (legend) svg.after(legend);
  }
};
