/** Prometheus' text format, version 0.0.4: as much of it as we write ourselves. Pure. */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** @typedef {{labels: Record<string, string>, value: number}} Sample */

/**
 * @param {string} text
 * @returns {Map<string, Sample[]>} by name
 */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (!line || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (!match) continue;
    const [, name, labels = "", value] = match;
    const pairs = [...labels.matchAll(LABEL)].map(([, key, quoted]) => [key, quoted.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c))]);
    const sample = { labels: Object.fromEntries(pairs), value: value === "+Inf" ? Infinity : Number(value) };
    if (found.has(name)) found.get(name).push(sample);
    else found.set(name, [sample]);
  }
  return found;
}

/** The sum of a metric, of those samples that fit. Unknown ones (−1 of a gauge) do not count; null: there is none. */
export function sum(samples, fits = (_labels) => true) {
  const known = (samples ?? []).filter((one) => fits(one.labels) && one.value >= 0);
  return known.length > 0 ? known.reduce((total, one) => total + one.value, 0) : null;
}

/** Sums by a label's value. */
export function by(samples, label) {
  const groups = new Map();
  for (const { labels, value } of samples ?? []) if (label in labels && value >= 0) groups.set(labels[label], (groups.get(labels[label]) ?? 0) + value);
  return groups;
}

/**
 * A quantile of what a histogram has counted between two moments, in its unit; null where nothing was.
 * @param {Sample[] | undefined} now the `_bucket` samples
 * @param {Sample[] | undefined} before
 * @param {number} quantile
 * @param {(labels: Record<string, string>) => boolean} [fits]
 */
export function quantile(now, before, quantile, fits = () => true) {
  const earlier = bucketsOf(before, fits);
  const buckets = [...bucketsOf(now, fits)].map(([edge, many]) => [edge, many - (earlier.get(edge) ?? 0)]).sort((one, other) => one[0] - other[0]);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = total * quantile;
  let from = 0;
  let below = 0;
  for (const [edge, many] of buckets) {
    if (many >= wanted) return edge === Infinity ? from : from + ((edge - from) * (wanted - below)) / Math.max(many - below, 1e-9);
    from = edge;
    below = many;
  }
  return from;
}

function bucketsOf(samples, fits) {
  const found = new Map();
  for (const { labels, value } of samples ?? []) {
    if (!fits(labels)) continue;
    const edge = labels.le === "+Inf" ? Infinity : Number(labels.le);
    found.set(edge, (found.get(edge) ?? 0) + value);
  }
  return found;
}
