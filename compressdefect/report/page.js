const night = matchMedia("(prefers-color-scheme: dark)");
const plots = () => document.querySelectorAll(".plotly-graph-div");
const colours = () => ({ template: night.matches ? TEMPLATES.dark : TEMPLATES.light });
const paint = () => plots().forEach((plot) => Plotly.relayout(plot, colours()));
night.addEventListener("change", paint);
if (night.matches) addEventListener("load", paint);

// Paper is light and as wide as it is, whatever the window was.
const PAPER = 640;
addEventListener("beforeprint", () => {
  document.querySelectorAll("details.names").forEach((names) => { names.open = true; });
  plots().forEach((plot) => Plotly.relayout(plot, { template: TEMPLATES.light, autosize: false, width: PAPER }));
});
addEventListener("afterprint", () => plots().forEach(
  (plot) => Plotly.relayout(plot, { ...colours(), autosize: true, width: null })));

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
