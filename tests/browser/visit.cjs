// Opens a report in headless Chromium and tells as JSON what it found. Usage: visit.cjs PAGE EXPECTED OUT MODULES
const fs = require("node:fs");
const path = require("node:path");
const [page_file, expected_file, out, modules] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const axe = fs.readFileSync(path.join(modules, "axe-core", "axe.min.js"), "utf8");
const expected = JSON.parse(fs.readFileSync(expected_file, "utf8"));
const url = /^http/.test(page_file) ? page_file : `file://${path.resolve(page_file)}`;

const FLAGS = require("./flags.cjs");
const LOOKS = {
  desktop: { viewport: { width: 1280, height: 900 } },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

const watch = (page, told) => {
  page.on("console", m => { if (["error", "warning"].includes(m.type())) told.console.push(m.text()); });
  page.on("pageerror", error => told.console.push(String(error)));
  page.on("dialog", async dialog => { told.console.push(`dialog: ${dialog.message()}`); await dialog.dismiss(); });
  page.on("request", request => { if (request.url() !== url && !request.url().startsWith("data:")) told.requests.push(request.url()); });
};

(async () => {
  const told = { console: [], requests: [], seconds: [], faults: [], rows: [], checks: {} };
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
  for (let i = 0; i < 5; i += 1) {
    const context = await browser.newContext(LOOKS.desktop);
    const page = await context.newPage();
    watch(page, told);
    const begin = performance.now();
    await page.goto(url, { waitUntil: "load" });
    await page.waitForSelector("figure.chart svg");
    await page.waitForSelector("#whatif-table td");
    told.seconds.push((performance.now() - begin) / 1000);
    await context.close();
  }
  for (const [look, options] of Object.entries(LOOKS)) {
    const context = await browser.newContext({ ...options, bypassCSP: true }); // the checker is injected
    const page = await context.newPage();
    await page.goto(url, { waitUntil: "load" });
    await page.waitForSelector("#whatif-table td");
    await page.addScriptTag({ content: axe });
    const found = await page.evaluate(() => window.axe.run());
    for (const fault of found.violations) told.faults.push({ look, id: fault.id, impact: fault.impact, nodes: fault.nodes.slice(0, 3).map(n => n.html.slice(0, 160)) });
    told.checks[`${look} scrolls sideways`] = await page.evaluate(width => document.documentElement.scrollWidth > width, options.viewport.width); // a phone's innerWidth grows with the page
    await page.screenshot({ path: path.join(out, `${look}.png`), fullPage: look !== "phone" });
    await context.close();
  }
  const context = await browser.newContext(LOOKS.desktop);
  const page = await context.newPage();
  watch(page, told);
  await page.goto(url, { waitUntil: "load" });
  for (const target of expected.targets) {
    for (const name of ["N", "D"]) {
      await page.fill(`#text-${name}`, String(target[name]));
      await page.press(`#text-${name}`, "Tab");
    }
    await page.selectOption("#level", { index: await page.$$eval("#level option", (all, level) => all.findIndex(o => Number(o.value) === level), expected.level) });
    await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
    const rows = await page.$$eval("#whatif-table tbody tr", all => all.map(row => ({
      metric: row.dataset.row, value: Number(row.querySelector("[data-value]").dataset.value), low: Number(row.dataset.low),
      high: Number(row.dataset.high), reach: Number(row.dataset.reach),
    })));
    told.rows.push({ N: target.N, D: target.D, rows });
  }
  const before = await page.inputValue("#text-N");
  await page.focus("#slider-N");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("PageUp");
  told.checks["slider moves by key"] = await page.inputValue("#text-N") !== before;
  await page.click("#reset");
  told.checks["reset returns"] = await page.inputValue("#text-N") !== "";
  await page.focus("figure.chart svg");
  await page.keyboard.press("ArrowRight");
  told.checks["chart reads by key"] = (await page.textContent("#tip")).length > 3 && await page.isVisible("#tip");
  await page.keyboard.press("Escape");
  told.checks["escape hides"] = !(await page.isVisible("#tip"));
  const chart = await page.$("#ladder figure.chart svg");
  await chart.scrollIntoViewIfNeeded();
  const mark = await chart.$("circle:not(.ring)");
  await mark.hover({ force: true });
  told.checks["hover names a run"] = await page.isVisible("#tip");
  if (await page.$("[data-pick]")) {
    const cards = () => page.$$eval(".cards li", all => all.filter(card => !card.hidden).length);
    const all = await cards();
    await page.click("[data-pick] >> nth=0");
    told.checks["picking a task hides the others"] = await cards() < all && (await page.$$("#whatif-table tbody tr")).length === 1;
    await page.click("#pick-all");
    told.checks["all brings them back"] = await cards() === all;
  }
  told.pdf = (await page.pdf({ path: path.join(out, "report.pdf"), format: "A4" })).length;
  await browser.close();
  console.log(JSON.stringify(told));
})().catch(error => { console.error(error); process.exit(1); });
