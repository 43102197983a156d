/* Numbers as text, as the commands print them. */

const EMPTY = "–";

/** Return a number with so many decimals; an exact tie goes to the even digit, as in Python. */
function fixed(value, decimals = 1) {
  if (value == null || !Number.isFinite(value)) return EMPTY;
  const scaled = Math.abs(value) * 10 ** decimals, below = Math.floor(scaled);
  const isTie = scaled - below === 0.5 && Number.isInteger(value * 1024);
  const text = isTie ? ((Math.sign(value) * (below + (below % 2))) / 10 ** decimals).toFixed(decimals) : value.toFixed(decimals);
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

function signed(value, decimals = 1) {
  const text = fixed(value, decimals);
  return value > 0 && text !== EMPTY && Number(text) > 0 ? "+" + text : text;
}

/** Return three or four digits: 90k, 0.02, 1.3e-5. */
function short(value) {
  if (value == null || value === "") return EMPTY;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return EMPTY;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e9) return trim(value / 1e9) + "G";
  if (size >= 1e6) return trim(value / 1e6) + "M";
  if (size >= 1e4) return trim(value / 1e3) + "k";
  return size >= 1e-3 ? trim(value) : value.toExponential(1).replace("e-", "e−");
}

/** Return a cost with three digits, as the tables of costs print it: 0.0353, 33.1, 120, 1,200. */
function cost(value) {
  if (value == null || !Number.isFinite(value)) return EMPTY;
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return size === 0 ? "0" : size >= 1e-4 ? value.toPrecision(3) : value.toExponential(1).replace("e-", "e−");
}

/** Return the standard deviation of a cost with two digits. */
function costSpread(sd) {
  return sd >= 10 ? Math.round(sd).toLocaleString("en") : sd >= 1e-4 ? sd.toPrecision(2) : sd.toExponential(1).replace("e-", "e−");
}

/** Return whether a standard deviation is more than the rounding of equal numbers. */
function isSpread(mean, sd) {
  return sd > 1e-6 * Math.abs(mean);
}

function trim(value) {
  return String(Number(value.toPrecision(4)));
}

function duration(seconds) {
  if (seconds == null) return EMPTY;
  const total = Math.round(seconds), hours = Math.floor(total / 3600), minutes = Math.floor((total % 3600) / 60);
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(total % 60).padStart(2, "0")} s` : `${fixed(seconds)} s`;
}

function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 1000 && unit < 4) { size /= 1000; unit += 1; }
  return `${unit ? fixed(size) : size} ${units[unit]}`;
}

function date(text) {
  return text ? String(text).slice(0, 16).replace("T", " ") : EMPTY;
}

function shorten(text, length) {
  return text.length <= length ? text : text.slice(0, length - 1) + "…";
}

/** Return a short text; of the dotted name of a class its end. */
function shortenClass(text, length) {
  return text.length > length && /^\w+(\.\w+)+$/.test(text) ? "…" + text.slice(1 - length) : shorten(text, length);
}

/** Return texts that are short enough; those that begin alike keep their ends: …rcnn_c4, …rcnn_c5. */
function shortenDistinct(texts, length) {
  const heads = texts.map((text) => shorten(text, length));
  return texts.map((text, i) => (text.length > length && heads.filter((head) => head === heads[i]).length > 1 ? "…" + text.slice(1 - length) : heads[i]));
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

const VAGUE = ["_target_", "train", "test"]; // ends that say nothing without the name before them

/** Return the shortest end of a dotted key by which it differs from the others: lr, test.images beside train.images. */
function shortKey(key, keys) {
  const parts = key.split(".");
  for (let length = VAGUE.includes(parts.at(-1)) ? 2 : 1; length < parts.length; length += 1) {
    const end = parts.slice(-length).join(".");
    if (!keys.some((other) => other !== key && ("." + other).endsWith("." + end))) return end;
  }
  return key;
}
