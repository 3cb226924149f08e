const night = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.querySelectorAll(".plotly-graph-div").forEach(
  (plot) => Plotly.relayout(plot, { template: night.matches ? TEMPLATES.dark : TEMPLATES.light }));
night.addEventListener("change", paint);
if (night.matches) addEventListener("load", paint);

// A click on a heading sorts its table: by number where both cells have one, empty cells last.
const scales = { k: 1e3, M: 1e6, G: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, min: 60, h: 3600 };
const value = (text) => {
  const parts = [...text.matchAll(/(-?[\d.]+)\s*([A-Za-z]*)/g)];
  return parts.length ? parts.reduce((sum, [, n, unit]) => sum + n * (scales[unit] ?? 1), 0) : null;
};
document.querySelectorAll(".tall table").forEach((table) => {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const down = head.dataset.order !== "down";
    head.dataset.order = down ? "down" : "up";
    const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("total"));
    const numeric = head.classList.contains("number");
    const key = (row) => numeric ? value(row.cells[column].textContent) : row.cells[column].textContent;
    rows.sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === null || q === null) return (p === null) - (q === null);
      return (numeric ? p - q : p.localeCompare(q)) * (down ? -1 : 1);
    });
    const total = table.tBodies[0].querySelector(".total");
    rows.forEach((row) => table.tBodies[0].insertBefore(row, total));
  }));
});
