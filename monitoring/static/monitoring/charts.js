/**
 * The charts of the dashboard, with the theme's Chart.js. What was not measured is a hole in the line. Each chart says the same in
 * words below it: now, lowest, highest; that is what a screen reader gets, and it is renewed every five seconds.
 */
const MINUTES = 10;
const PROMISE_MS = 100;
const SAY_EVERY = 5;
const LIVE = {
  connections: [{ figure: "connections", label: "connections", colour: "primary" }],
  deliveries: [{ figure: "deliveries", label: "deliveries a second", colour: "primary" }],
  latency: [
    { figure: "p50_ms", label: "median", colour: "soft", unit: "ms" },
    { figure: "p99_ms", label: "p99", colour: "primary", unit: "ms" },
  ],
};

export class Charts {
  #charts = {};
  #points = [];
  #page;
  #n = 0;

  /** @param {HTMLElement} page @param {{points: [number, Record<string, number | null>][], forecast: [number, number][]}} start */
  constructor(page, { points, forecast }) {
    this.#page = page;
    this.#points = points.map(([at, figures]) => ({ at, ...figures }));
    if (!window.Chart) return;
    for (const name of Object.keys(LIVE)) this.#charts[name] = this.#live(name);
    this.#charts.forecast = this.#forecast(forecast);
    new MutationObserver(() => this.#repaint()).observe(document.documentElement, { attributeFilter: ["class"] });
    this.#draw();
  }

  /** One more second. @param {number} at @param {Record<string, number | null>} figures */
  add(at, figures) {
    this.#points.push({ at, ...figures });
    const from = at - MINUTES * 60;
    while (this.#points[0].at < from) this.#points.shift();
    this.#draw();
  }

  #draw() {
    const last = this.#points.at(-1)?.at ?? Date.now() / 1000;
    const say = this.#n++ % SAY_EVERY === 0;
    for (const [name, series] of Object.entries(LIVE)) {
      const chart = this.#charts[name];
      if (!chart) continue;
      series.forEach(({ figure }, i) => (chart.data.datasets[i].data = holed(this.#points, figure)));
      chart.options.scales.x.min = last - MINUTES * 60;
      chart.options.scales.x.max = last;
      chart.update("none");
      if (say) tell(chart, words(series, this.#points));
    }
    const day = this.#charts.forecast;
    if (day) {
      day.data.datasets[1].data = [...day.kept, ...holed(this.#points, "connections")];
      if (say) day.update("none");
    }
  }

  #live(name) {
    const canvas = this.#page.querySelector(`[data-chart=${name}] canvas`);
    const datasets = LIVE[name].map(({ label, colour }) => line(label, colour));
    if (name === "latency") datasets.push({ ...line("promise, 100 ms", "bad"), data: [], promise: true });
    return this.#make(canvas, datasets, name === "latency");
  }

  #forecast(points) {
    const canvas = this.#page.querySelector("[data-chart=forecast] canvas");
    const expected = { ...line("expected", "soft"), stepped: true, borderDash: [5, 4], data: points.map(([x, y]) => ({ x, y })) };
    const chart = this.#make(canvas, [expected, line("connected", "primary")], false);
    chart.kept = [];
    if (points.length) [chart.options.scales.x.min, chart.options.scales.x.max] = [points[0][0], points.at(-1)[0]];
    return chart;
  }

  #make(canvas, datasets, promised) {
    const time = (value) => new Date(value * 1000).toISOString().slice(11, 16);
    const chart = new window.Chart(canvas, {
      type: "line",
      data: { datasets },
      options: {
        animation: false,
        maintainAspectRatio: false,
        normalized: true,
        parsing: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        plugins: {
          legend: { display: datasets.length > 1, position: "bottom", labels: { boxHeight: 2, boxWidth: 18 } },
          tooltip: { callbacks: { title: ([item]) => `${time(item.parsed.x)} UTC` } },
        },
        scales: {
          x: { type: "linear", ticks: { callback: time, maxTicksLimit: 6, maxRotation: 0 } },
          y: { beginAtZero: true, suggestedMax: promised ? 1.2 * PROMISE_MS : undefined, ticks: { maxTicksLimit: 5 } },
        },
      },
      plugins: promised ? [PROMISE_LINE] : [],
    });
    paint(chart);
    return chart;
  }

  #repaint() {
    for (const chart of Object.values(this.#charts)) {
      paint(chart);
      chart.update("none");
    }
  }
}

/** The line of 100 ms across the whole chart, whatever was measured. */
const PROMISE_LINE = {
  id: "promise",
  afterDatasetsDraw({ ctx, chartArea, scales, colours }) {
    const y = scales.y.getPixelForValue(PROMISE_MS);
    ctx.save();
    ctx.strokeStyle = colours?.bad ?? "#c81e2d";
    ctx.lineWidth = 1.5;
    ctx.setLineDash([6, 4]);
    ctx.beginPath();
    ctx.moveTo(chartArea.left, y);
    ctx.lineTo(chartArea.right, y);
    ctx.stroke();
    ctx.restore();
  },
};

const line = (label, colour) => ({ label, colour, data: [], borderWidth: 2, pointRadius: 0, pointHitRadius: 8, spanGaps: false });

/** Points of one figure; where a few seconds are missing, or nothing was measured, the line has a hole. */
function holed(points, figure) {
  const found = [];
  let before = null;
  for (const point of points) {
    if (before !== null && point.at - before > 5) found.push({ x: before + 1, y: NaN });
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
      const now = points.at(-1)[figure];
      const [low, high] = [Math.min(...known), Math.max(...known)];
      return `${label}: ${shown(now, unit)} now, ${shown(low, unit)} to ${shown(high, unit)}`;
    })
    .join("; ");
}

const shown = (value, unit) =>
  value === null || value === undefined ? "not known" : `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`.trim();

function tell(chart, text) {
  const place = chart.canvas.closest("[data-chart]").querySelector("[data-said]");
  if (place.textContent !== text) place.textContent = text;
}

/** Colours of the theme as it is now. */
function paint(chart) {
  const style = getComputedStyle(document.querySelector(".ops"));
  const colour = (name) => style.getPropertyValue(name).trim();
  const dark = document.documentElement.classList.contains("dark");
  const primary = colour(dark ? "--color-primary-400" : "--color-primary-600");
  chart.colours = { primary, soft: colour("--soft"), bad: colour("--bad") };
  for (const dataset of chart.data.datasets) {
    dataset.borderColor = dataset.backgroundColor = chart.colours[dataset.colour];
    if (dataset.promise) dataset.borderDash = [6, 4];
  }
  for (const scale of Object.values(chart.options.scales)) {
    scale.ticks.color = colour("--soft");
    scale.grid = { color: colour("--line") };
  }
  chart.options.plugins.legend.labels.color = colour("--soft");
}
