/** A small line of the last minutes, as SVG nodes. */

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 240;
const HIGH = 56;

/**
 * @param {(number | null)[]} values the newest last
 * @param {number} most how many fit
 * @param {string} label
 */
export function chart(values, most, label) {
  const svg = node("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "chart", role: "img", "aria-label": label, preserveAspectRatio: "none" });
  const top = Math.max(1e-9, ...values.map((one) => one ?? 0)) * 1.15;
  const x = (at) => ((most - values.length + at) / (most - 1)) * WIDE;
  const y = (value) => HIGH - 2 - (value / top) * (HIGH - 6);
  let line = "";
  let area = "";
  let open = -1;
  values.forEach((value, at) => {
    if (value === null) {
      if (open >= 0) area += `L${x(at - 1)} ${HIGH}Z`;
      open = -1;
      return;
    }
    line += `${open < 0 ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    area += open < 0 ? `M${x(at).toFixed(1)} ${HIGH}L${x(at).toFixed(1)} ${y(value).toFixed(1)}` : `L${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    open = at;
  });
  if (open >= 0) area += `L${x(open)} ${HIGH}Z`;
  svg.append(node("path", { d: area || "M0 0", class: "area" }), node("path", { d: line || "M0 0", class: "trace" }));
  return svg;
}

function node(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
