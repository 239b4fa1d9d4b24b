// How chromium is started: without a screen, as root, and asking nobody anything.
module.exports = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
