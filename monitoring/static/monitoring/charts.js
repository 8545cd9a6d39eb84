/**
 * The live charts of the dashboard. Each says the same in words below it: now, lowest, highest; that is what a screen reader gets,
 * and it is renewed every five seconds.
 */
import { draw, followTheme, line } from "./drawing.js";

const MINUTES = 10;
const PROMISE_MS = 100;
const SAY_EVERY = 5;
const HOLE_S = 5; // so long without a word is not joined
const LIVE = {
  connections: [{ figure: "connections", label: "connections", colour: "primary" }],
  deliveries: [{ figure: "deliveries", label: "deliveries a second", colour: "primary" }],
  latency: [
    { figure: "p50_ms", label: "median", colour: "blue", unit: "ms" },
    { figure: "p99_ms", label: "p99", colour: "primary", unit: "ms" },
  ],
};

export class Charts {
  #charts = {};
  #points = [];
  #page;
  #recorded = [];
  #n = 0;

  /**
   * @param {HTMLElement} page
   * @param {{points: [number, Record<string, number | null>][], forecast: [number, number][], actual: [number, number | null][]}} start
   */
  constructor(page, { points, forecast, actual }) {
    this.#page = page;
    this.#points = points.map(([at, figures]) => ({ at, ...figures }));
    this.#recorded = actual.map(([x, y]) => ({ x, y: y ?? NaN }));
    for (const [name, series] of Object.entries(LIVE)) {
      const datasets = series.map(({ label, colour }) => line(label, colour));
      this.#charts[name] = draw(this.#canvas(name), datasets, { limit: name === "latency" ? PROMISE_MS : null });
    }
    if (forecast.length) this.#charts.forecast = this.#forecast(forecast);
    else this.#canvas("forecast").parentElement.hidden = true;
    followTheme(() => Object.values(this.#charts));
    this.#draw();
  }

  /** One more second. @param {number} at @param {Record<string, number | null>} figures */
  add(at, figures) {
    this.#points.push({ at, ...figures });
    const from = at - MINUTES * 60;
    while (this.#points[0].at < from) this.#points.shift();
    this.#draw();
  }

  #canvas = (name) => this.#page.querySelector(`[data-chart=${name}] canvas`);

  #forecast(points) {
    const expected = line("expected", "soft", { stepped: true, borderDash: [5, 4], data: points.map(([x, y]) => ({ x, y })) });
    const chart = draw(this.#canvas("forecast"), [expected, line("connected", "primary")]);
    [chart.options.scales.x.min, chart.options.scales.x.max] = [points[0][0], points.at(-1)[0]];
    return chart;
  }

  #draw() {
    const last = this.#points.at(-1)?.at ?? Date.now() / 1000;
    const say = this.#n++ % SAY_EVERY === 0;
    for (const [name, series] of Object.entries(LIVE)) {
      const chart = this.#charts[name];
      series.forEach(({ figure }, i) => (chart.data.datasets[i].data = holed(this.#points, figure)));
      [chart.options.scales.x.min, chart.options.scales.x.max] = [last - MINUTES * 60, last];
      chart.update("none");
      if (say) tell(chart, words(series, this.#points));
    }
    const day = this.#charts.forecast;
    if (day && say) {
      const from = this.#points[0]?.at ?? Infinity;
      day.data.datasets[1].data = [...this.#recorded.filter(({ x }) => x < from), ...holed(this.#points, "connections")];
      day.update("none");
    }
  }
}

/** Points of one figure; where a few seconds are missing, or nothing was measured, the line has a hole. */
function holed(points, figure) {
  const found = [];
  let before = null;
  for (const point of points) {
    if (before !== null && point.at - before > HOLE_S) found.push({ x: before + 1, y: NaN });
    found.push({ x: point.at, y: point[figure] ?? NaN });
    before = point.at;
  }
  return found;
}

function words(series, points) {
  return series
    .map(({ figure, label, unit = "" }) => {
      const known = points.map((point) => point[figure]).filter((value) => value !== null && value !== undefined);
      if (!known.length) return `${label}: nothing measured yet`;
      const [low, high] = [Math.min(...known), Math.max(...known)];
      return `${label}: ${shown(points.at(-1)[figure], unit)} now, ${shown(low, unit)} to ${shown(high, unit)}`;
    })
    .join("; ");
}

const shown = (value, unit) =>
  value === null || value === undefined ? "not known" : `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`.trim();

function tell(chart, text) {
  const place = chart.canvas.closest("[data-chart]").querySelector("[data-said]");
  if (place.textContent !== text) place.textContent = text;
}
