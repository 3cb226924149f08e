const night = matchMedia("(prefers-color-scheme: dark)");
const plots = () => document.querySelectorAll(".plotly-graph-div");
const paint = () => plots().forEach(
  (plot) => Plotly.relayout(plot, { template: night.matches ? TEMPLATES.dark : TEMPLATES.light }));
night.addEventListener("change", paint);
if (night.matches) addEventListener("load", paint);

// On paper a chart fills the width of the page, scaled as it was drawn; page.css makes it a light one.
const PAPER = 660;
const onScreen = new Map();
const restyle = (element, style) => {
  onScreen.set(element, element.getAttribute("style"));
  Object.assign(element.style, style);
};
const narrow = (plot) => {  // or its text would become too small
  Plotly.relayout(plot, { autosize: false, width: PAPER });
  Plotly.redraw(plot);
};
addEventListener("beforeprint", () => {
  document.querySelectorAll("details.printed").forEach((list) => { list.open = true; });
  plots().forEach((plot) => {
    if (plot.clientWidth > 1.3 * PAPER && !plot.closest(".wide")) narrow(plot);
    const box = plot.querySelector(".svg-container"), height = PAPER * box.clientHeight / box.clientWidth;
    plot.querySelectorAll(".main-svg").forEach((svg) => {
      svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
      restyle(svg, { width: "100%", height: "100%" });
    });
    [box, plot, plot.parentElement].forEach((e) => restyle(e, { width: `${PAPER}px`, height: `${height}px` }));
  });
});
addEventListener("afterprint", () => {
  onScreen.forEach((style, element) => element.setAttribute("style", style));
  onScreen.clear();
  document.querySelectorAll(".main-svg").forEach((svg) => svg.removeAttribute("viewBox"));
  plots().forEach((plot) => { if (plot.layout.width) Plotly.relayout(plot, { autosize: true, width: null }); });
});

// A heading sorts its table: by number where its cells are numbers, the largest first, and empty cells last.
const scales = { k: 1e3, M: 1e6, G: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, min: 60, h: 3600 };
const value = (text) => {
  const parts = [...text.split("–")[0].matchAll(/(-?[\d.]+)\s*([A-Za-z]*)/g)];
  return parts.length ? parts.reduce((sum, [, n, unit]) => sum + n * (scales[unit] ?? 1), 0) : null;
};
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const numeric = head.classList.contains("number"), now = head.getAttribute("aria-sort");
    const down = now ? now === "ascending" : numeric;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("total"));
    const key = (row) => {
      const text = row.cells[column].textContent;
      return numeric ? value(text) : text === "–" ? null : text;
    };
    rows.sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === null || q === null) return (p === null) - (q === null);
      return (numeric ? p - q : p.localeCompare(q)) * (down ? -1 : 1);
    });
    const total = table.tBodies[0].querySelector(".total");
    rows.forEach((row) => table.tBodies[0].insertBefore(row, total));
  }));
});
