// The what-if panel: the fitted laws and all their draws, evaluated at any N and D. The steps are those of
// foretell.methods.pieces, forecast.from_fit and judge.widen, in their order.
const loop1 = f => a => {
  if (typeof a === "number") return f(a);
  const made = new Float64Array(a.length);
  for (let i = 0; i < made.length; i += 1) made[i] = f(a[i]);
  return made;
};
const NEVER = 1e-300; // as foretell.laws.repetition

// numbers and arrays of draws mix freely: what does not vary stays a number. Each operation has its own loops, which
// the browser compiles well; one loop for all of them is five times slower.
const spread = (a, length) => typeof a === "number" ? new Float64Array(length).fill(a) : a;
const OPERATIONS = {
  "+": (a, b, to) => { for (let i = 0; i < to.length; i += 1) to[i] = a[i] + b[i]; },
  "-": (a, b, to) => { for (let i = 0; i < to.length; i += 1) to[i] = a[i] - b[i]; },
  "*": (a, b, to) => { for (let i = 0; i < to.length; i += 1) to[i] = a[i] * b[i]; },
  "/": (a, b, to) => { for (let i = 0; i < to.length; i += 1) to[i] = a[i] / b[i]; },
  "**": (a, b, to) => { for (let i = 0; i < to.length; i += 1) to[i] = a[i] ** b[i]; },
};
const SINGLE = { neg: loop1(a => -a), exp: loop1(Math.exp), log: loop1(Math.log), sqrt: loop1(Math.sqrt) };
const one = new Float64Array(1);
const combine = (step, a, b) => {
  const fixed = typeof a === "number" && typeof b === "number";
  const length = fixed ? 1 : (typeof a === "number" ? b : a).length;
  const to = fixed ? one : new Float64Array(length);
  OPERATIONS[step](spread(a, length), spread(b, length), to);
  return fixed ? to[0] : to;
};

const runProgram = (program, coefficients, inputs) => {
  const stack = [];
  for (const step of program) {
    if (typeof step === "number") stack.push(step);
    else if (step[0] === ":") stack.push(inputs[step.slice(1)]);
    else if (/^c[0-9]+$/.test(step)) stack.push(coefficients[Number(step.slice(1))]);
    else if (step in SINGLE) stack.push(SINGLE[step](stack.pop()));
    else { const b = stack.pop(); stack.push(combine(step, stack.pop(), b)); }
  }
  return stack[0];
};

const arrays = law => {
  for (const key of ["noise", "spread", "normal"]) if (law[key]) law[key] = Float64Array.from(law[key]);
  law.draws = law.draws.map(column => Float64Array.from(column, v => v === null ? NaN : v));
};

const makeModel = data => {
  for (const law of Object.values(data.losses)) arrays(law);
  for (const metric of data.metrics) { metric.form = Float64Array.from(metric.form); if (metric.link) arrays(metric.link); }
  const count = data.draws;
  const inputsAt = (N, D) => {
    const made = { ...data.inputs, N, D, M: D / N, C: 6 * N * D };
    return made.U ? { ...made, U_D: Math.min(made.U, D), R: Math.max(D / made.U - 1, NEVER) } : made;
  };
  let last = {}; // tasks that go through one loss share it
  const lossAt = (key, N, D) => {
    if (last.key === key && last.N === N && last.D === D) return { value: last.value, draws: last.draws };
    const law = data.losses[key], inputs = inputsAt(N, D);
    const value = runProgram(law.program, law.theta, inputs);
    const draws = spread(runProgram(law.program, law.draws, inputs), count).slice();
    const finite = draws.filter(Number.isFinite);
    for (let b = 0; b < count; b += 1) {
      const drawn = Number.isFinite(draws[b]) ? draws[b] : finite.length ? finite[b % finite.length] : value;
      draws[b] = law.log ? drawn * Math.exp(law.noise[b]) : drawn + law.noise[b];
    }
    last = { key, N, D, value, draws };
    return { value, draws };
  };
  const kept = (metric, v) => metric.share ? Math.min(1, Math.max(0, v)) : metric.positive ? Math.max(0, v) : v;
  const evaluate = (metric, N, D) => {
    let { value, draws } = lossAt(metric.loss, N, D);
    draws = draws.slice();
    const link = metric.link;
    if (link) {
      value = runProgram(link.program, link.theta, { L: value, chance: link.chance });
      draws = spread(runProgram(link.program, link.draws, { L: draws, chance: link.chance }), count).slice();
      for (let b = 0; b < count; b += 1) {
        const p = Math.min(1, Math.max(0, draws[b]));
        const sampling = link.items && link.spread[b] > 0 ? p * (1 - p) / link.items : 0;
        draws[b] += Math.sqrt(Math.max(link.spread[b] ** 2, sampling)) * link.normal[b];
      }
      if (metric.error) { value = 1 - value; draws = draws.map(v => 1 - v); }
    }
    value = kept(metric, value);
    const reach = Math.log10(N) + Math.log10(D) - Math.log10(metric.most);
    const size = Math.max(reach, 0) ** metric.power * (metric.share ? 1 : Math.abs(value));
    for (let b = 0; b < count; b += 1) draws[b] = kept(metric, kept(metric, draws[b]) + metric.form[b] * size);
    return { value, draws: draws.sort(), reach };
  };
  return { evaluate };
};

const quantile = (sorted, q) => {
  const at = q * (sorted.length - 1), low = Math.floor(at), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
};
const intervalOf = (sorted, level) => [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)];

const startWhatIf = (data, runs, picked) => {
  const model = makeModel(data);
  const at = { ...data.start };
  const byId = id => document.getElementById(id);
  const level = byId("level"), focus = byId("focus");
  const toSlider = (name, value) => {
    const [low, high] = data.range[name];
    return 1000 * Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
  };
  const fromSlider = (name, value) => {
    const [low, high] = data.range[name];
    return Number((low * (high / low) ** (value / 1000)).toPrecision(4));
  };
  const writeOf = metric => WRITE[metric.share ? "share" : "number"];

  const drawTable = () => {
    const wanted = Number(level.value);
    const body = html("tbody");
    for (const metric of data.metrics) {
      if (!picked(metric.name)) continue;
      const { value, draws, reach } = model.evaluate(metric, at.N, at.D);
      const write = writeOf(metric), [low, high] = draws.length ? intervalOf(draws, wanted) : [NaN, NaN];
      const cell = (text, number) => html("td", { class: "num", "data-value": String(number) }, text);
      body.append(html("tr", { "data-row": metric.name, "data-reach": String(reach), "data-low": String(low), "data-high": String(high) },
        html("th", { scope: "row" }, metric.name.replace(/\/acc$/, "")), cell(write(value), value),
        html("td", { class: "num" }, draws.length ? `${write(low)} – ${write(high)}` : "none"),
        html("td", { class: "num" }, metric.share ? "points" : metric.unit)));
    }
    const head = html("tr", {});
    ["metric", "forecast", `${plain(100 * wanted, 3)} % interval`, "unit"].forEach((name, i) =>
      head.append(html("th", { scope: "col", class: i ? "num" : "" }, name)));
    byId("whatif-table").replaceChildren(
      html("table", {}, html("caption", {}, "Forecasts at this N and D"), html("thead", {}, head), body));
  };

  const drawCurve = () => {
    const metric = data.metrics[Number(focus.value)], wanted = Number(level.value);
    const [low, high] = data.range.D;
    const spec = {
      kind: "xy", height: 300, label: `${metric.name} over training tokens at N = ${formatCount(at.N)}`, series: [],
      x: { label: "D, tokens", unit: "count", log: true },
      y: { label: `${metric.name}, ${metric.share ? "points" : metric.unit}`, unit: metric.share ? "share" : "number" },
    };
    const xs = [], ys = [], outer = [[], []], inner = [[], []];
    for (let i = 0; i < 40; i += 1) {
      const D = low * (high / low) ** (i / 39), { value, draws } = model.evaluate(metric, at.N, D);
      xs.push(D); ys.push(value);
      [[outer, wanted], [inner, 0.5]].forEach(([to, share]) => intervalOf(draws, share).forEach((v, j) => to[j].push(v)));
    }
    const band = (name, [lows, highs]) => ({ name, mark: "band", colour: "blue", x: xs, y: ys, low: lows, high: highs });
    spec.series.push(band("interval", outer), band("half of draws", inner));
    spec.series.push({ name: "forecast", mark: "line", colour: "blue", x: xs, y: ys });
    const own = runs[metric.name];
    if (own) {
      const away = own.N.map(N => Math.abs(Math.log(N / at.N))), least = Math.min(...away) + 0.1;
      const keep = own.N.map((_, i) => i).filter(i => away[i] <= least && own.D[i] >= low / 2);
      spec.series.push({ name: "small run", mark: "points", colour: "grey", x: keep.map(i => own.D[i]),
        y: keep.map(i => own.y[i]), text: keep.map(i => `small run of ${formatCount(own.N[i])}`) });
    }
    const now = model.evaluate(metric, at.N, at.D);
    spec.series.push({ name: "chosen", mark: "diamonds", colour: "orange", x: [at.D], y: [now.value],
      text: [`${formatCount(at.N)} on ${formatCount(at.D)}`] });
    byId("curve").replaceChildren(drawXY(spec, byId("curve").clientWidth || 480));
  };

  let waiting = false;
  const update = () => {
    for (const name of ["N", "D"]) {
      const slider = byId(`slider-${name}`), text = byId(`text-${name}`);
      slider.value = toSlider(name, at[name]);
      slider.setAttribute("aria-valuetext", `${formatCount(at[name])} ${name === "N" ? "parameters" : "tokens"}`);
      if (document.activeElement !== text) text.value = formatCount(at[name], 4);
    }
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const reach = Math.log10(at.N) + Math.log10(at.D) - Math.log10(data.metrics[0].most);
      const C = 6 * at.N * at.D;
      byId("reach").textContent = `C = 6ND = ${C.toPrecision(3)} FLOP, ${plain(at.D / at.N, 3)} tokens a parameter; `
        + (reach > 0 ? `${reach.toFixed(1)} decades of compute beyond the data` : "within the compute of the data")
        + (reach > 2 ? ": a heavy extrapolation." : ".");
      drawTable();
      drawCurve();
    });
  };
  for (const name of ["N", "D"]) {
    byId(`slider-${name}`).addEventListener("input", event => { at[name] = fromSlider(name, Number(event.target.value)); update(); });
    byId(`text-${name}`).addEventListener("change", event => {
      const number = parseCount(event.target.value, name === "D" ? at.N : null);
      event.target.setAttribute("aria-invalid", String(!number));
      if (number) { at[name] = number; event.target.blur(); update(); }
    });
  }
  level.addEventListener("change", update);
  focus.addEventListener("change", update);
  byId("reset").addEventListener("click", () => { Object.assign(at, data.start); update(); });
  update();
  return update;
};
