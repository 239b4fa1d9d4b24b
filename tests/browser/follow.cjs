// Opens a served report, waits until it has reloaded itself, and tells both states as JSON lines.
// Usage: follow.cjs URL MODULES
const path = require("node:path");
const [url, modules] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const FLAGS = require("./flags.cjs");

const state = page => page.evaluate(() => ({
  runs: [...document.querySelectorAll("#ladder table.runs tbody tr")].map(row => row.cells[0].textContent.trim()),
  N: document.getElementById("text-N").value, whatif: document.getElementById("what-if").getBoundingClientRect().top, scrolled: scrollY,
}));

(async () => {
  const messages = [];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.on("console", m => { if (["error", "warning"].includes(m.type())) messages.push(m.text()); });
  page.on("pageerror", error => messages.push(String(error)));
  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("#whatif-table td");
  await page.fill("#text-N", "3e9");
  await page.press("#text-N", "Tab");
  await page.evaluate(() => scrollTo(0, 900));
  await page.waitForTimeout(300);
  console.log(JSON.stringify(await state(page)));
  const before = await page.evaluate(() => document.body.dataset.live);
  await page.waitForFunction(old => document.body?.dataset.live && document.body.dataset.live !== old, before, { timeout: 120000 });
  await page.waitForSelector("#whatif-table td");
  await page.waitForTimeout(300);
  console.log(JSON.stringify({ ...await state(page), messages }));
  await browser.close();
})().catch(error => { console.error(error); process.exit(1); });
