/** Our icons: strokes on a grid of 24, made as nodes. */

const PATHS = {
  send: "M5 12h13M12.500 6l6 6-6 6",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  reply: "M9 7l-5 5 5 5M4 12h9a7 7 0 0 1 7 7",
  thread: "M5 5h14v10H11l-4 4v-4H5zM9 9h6M9 12h4",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14.500a4.500 4.500 0 0 0 7 0M9 9.500h.01M15 9.500h.01",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v5",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13M10.500 11v5M13.500 11v5",
  clip: "M20 11l-8.500 8.500a5 5 0 0 1-7-7L13 4a3.300 3.300 0 0 1 4.700 4.700l-8.400 8.400a1.700 1.700 0 0 1-2.400-2.400L14.500 7",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  check: "M5 12.500l4.500 4.500L19 7.500",
  checks: "M2 12.500l4.500 4.500L15.500 7.500M11 16l1.200 1L21.500 7.500",
  circle: "M12 19a7 7 0 1 0 0-14 7 7 0 0 0 0 14z",
  clock: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4.500l3 2",
  alert: "M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM12 7.500v5.500M12 16.500h.01",
  users: "M9 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 19.500a6.500 6.500 0 0 1 13 0M16 4.900a3.500 3.500 0 0 1 0 6.200M18 14a6.500 6.500 0 0 1 3.500 5.500",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.500 2h-15zM10 20.500h4",
  muted: "M6 16V11a6 6 0 0 1 9-5.200M18 11v5l1.500 2h-13M10 20.500h4M4 4l16 16",
  archive: "M4 5h16v4H4zM5.500 9v10h13V9M10 13h4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  gear: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM19 12l2-1.200-1.500-3.600-2.300.6-1-1 .6-2.300L13.200 3 12 5l-1.200-2-3.600 1.500.6 2.300-1 1-2.300-.6L3 10.800 5 12l-2 1.200 1.500 3.600 2.300-.6 1 1-.6 2.300 3.600 1.500L12 19l1.200 2 3.600-1.500-.6-2.300 1-1 2.300.6 1.500-3.600z",
  down: "M6 9l6 6 6-6",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  block: "M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM6 6l12 12",
  leave: "M14 4H5v16h9M10 12h11M17 8l4 4-4 4",
  retry: "M20 12a8 8 0 1 1-2.500-5.800M20 3v4.500h-4.500",
  shield: "M12 3l8 3v5c0 5-3.500 8.500-8 10-4.500-1.500-8-5-8-10V6z",
  wave: "M3 8c3-3 6-3 9 0s6 3 9 0M3 14c3-3 6-3 9 0s6 3 9 0",
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * An icon. With a label it is an image that says so, else it is decoration.
 * @param {keyof typeof PATHS} name
 * @param {string} [label]
 */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.append(title);
  } else svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
