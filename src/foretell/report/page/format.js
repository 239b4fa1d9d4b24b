// How numbers are written; the same as in Python, see foretell/units.py and foretell/report/page/words.py.
const SUFFIXES = [["", 1], ["K", 1e3], ["M", 1e6], ["B", 1e9], ["T", 1e12], ["Q", 1e15]];

const plain = (value, digits) => {
  const written = Number(value.toPrecision(digits));
  return Math.abs(written) >= 1e6 || (written !== 0 && Math.abs(written) < 1e-4)
    ? written.toExponential().replace("e+", "e") : String(written);
};

const formatCount = (number, digits = 3) => {
  for (const [suffix, size] of SUFFIXES) {
    const scaled = Number((number / size).toPrecision(digits));
    if (Math.abs(scaled) < 1000) return scaled + suffix;
  }
  return number.toPrecision(digits);
};

const parseCount = (text, N) => {
  const multiple = /^\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*xC\s*$/i.exec(text);
  if (multiple && N) return 20 * N * Number(multiple[1]);
  const match = /^\s*([0-9][0-9_,]*\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+)\s*([KMBTQ]?)\s*$/i.exec(text);
  if (!match) return NaN;
  const size = SUFFIXES.find(([suffix]) => suffix === match[2].toUpperCase())[1];
  const number = Number(match[1].replace(/[,_]/g, "")) * size;
  return number > 0 && Number.isFinite(number) ? number : NaN;
};

const WRITE = {
  number: value => Math.abs(value) >= 1e-4 && Math.abs(value) < 1e4 ? value.toPrecision(4) : plain(value, 4),
  count: value => formatCount(value),
  share: value => (100 * value).toFixed(1),
  percent: value => `${plain(100 * value, 3)} %`,
};

// ticks need no more digits than tell them apart
const writeTick = (unit, value) =>
  unit === "share" ? plain(100 * value, 4) : unit === "number" ? plain(value, 4) : WRITE[unit](value);
