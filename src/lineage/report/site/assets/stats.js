/* Means over seeds and differences between groups, by the formulas of `lineage table`. */

/** Return {mean, sd, n} of a column over runs. A seed counts once: of a seed that ran more than once, the mean. */
function summarize(runs, column) {
  const bySeed = new Map();
  for (const run of runs) {
    const value = column.read(run);
    if (typeof value === "number") bySeed.set(run.seed, [...(bySeed.get(run.seed) || []), value]);
  }
  return sampleOf([...bySeed.values()].map(average));
}

function sampleOf(values) {
  const n = values.length;
  if (!n) return { mean: null, sd: null, n: 0 };
  const mean = average(values);
  return { mean, n, sd: n > 1 ? Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)) : null };
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Return b minus a as {difference, margin, clear, source}. margin: half the interval by the pooled noise of the setting,
 * or by that of the two samples if it is larger, so that all `count` differences to A hold together with 95 %
 * (Bonferroni); null where the noise is unknown or the tests differ.
 */
function difference(itemA, itemB, name, count = 1) {
  const column = columnOf(name), a = summarize(itemA.runs, column), b = summarize(itemB.runs, column);
  if (a.mean == null || b.mean == null) return { a, b, difference: null, margin: null };
  const change = b.mean - a.mean, setting = itemA.first.setting;
  if (itemA.first.group === itemB.first.group && itemA.first.group >= 0) return { a, b, difference: change, margin: null, isSame: true };
  const noise = setting >= 0 && setting === itemB.first.setting ? noiseOf(setting, name, itemA.first.model, itemB.first.model) : null;
  if (!noise) return { a, b, difference: change, margin: null };
  const margin = noise.t[count - 1] * Math.max(noise.sd, pooledSd(a, b)) * Math.sqrt(1 / a.n + 1 / b.n);
  return { a, b, difference: change, margin, clear: Math.abs(change) > margin, source: noise.source };
}

/** Return the noise of a metric for two models: the larger of both; null if one is unknown. */
function noiseOf(setting, name, ...models) {
  const noises = models.map((model) => SITE.noise[setting][name]?.[model]);
  return noises.every(Boolean) ? noises.sort((a, b) => b.sd - a.sd)[0] : null;
}

function pooledSd(...samples) {
  const df = samples.reduce((sum, one) => sum + one.n - 1, 0);
  return df > 0 ? Math.sqrt(samples.reduce((sum, one) => sum + (one.n - 1) * (one.sd || 0) ** 2, 0) / df) : 0;
}

/** Return the running mean by exponential smoothing without bias; weight 0 is the curve itself. */
function smoothed(values, weight) {
  if (!weight) return values;
  let last = 0, debias = 0;
  return values.map((value) => {
    if (value == null) return null;
    last = last * weight + (1 - weight) * value;
    debias = debias * weight + 1 - weight;
    return last / debias;
  });
}
