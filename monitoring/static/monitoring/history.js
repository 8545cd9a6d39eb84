/** Draws the charts of the history page; their numbers come with the page. */
import { draw, followTheme, line } from "./drawing.js";

const COLOURS = ["primary", "blue", "soft", "good", "warn", "violet", "bad"];
const charts = [];

for (const { name, unit, limit, at, lines } of JSON.parse(document.getElementById("ops-start").textContent)) {
  const canvas = document.querySelector(`[data-chart="${CSS.escape(name)}"] canvas`);
  const datasets = lines.map(({ name: label, values }, i) =>
    line(label, COLOURS[i % COLOURS.length], { data: at.map((x, n) => ({ x, y: values[n] ?? NaN })) }),
  );
  const chart = draw(canvas, datasets, { limit, unit });
  if (at.length > 1) [chart.options.scales.x.min, chart.options.scales.x.max] = [at[0], at.at(-1)];
  chart.update("none");
  charts.push(chart);
}
followTheme(() => charts);
