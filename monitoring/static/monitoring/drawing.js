/** Line charts over time with the theme's Chart.js and colours. What was not measured is a hole in the line. */
const TICKS = 6;
const STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 5184000, 7776000];
const DAY = 86_400;

/** A dataset. `colour` is the name of one in `paint`. */
export const line = (label, colour, more = {}) => ({
  label, colour, data: [], borderWidth: 2, pointRadius: alone, pointHitRadius: 8, spanGaps: false, ...more,
});

/** A point between two holes has no line: without a dot nobody would see it. */
function alone({ dataset, dataIndex }) {
  const known = (point) => point !== undefined && !Number.isNaN(point.y);
  return known(dataset.data[dataIndex - 1]) || known(dataset.data[dataIndex + 1]) ? 0 : 2.5;
}

/** @param {HTMLCanvasElement} canvas @param {object[]} datasets @param {{limit?: number | null, unit?: string}} [options] `limit`: drawn across */
export function draw(canvas, datasets, { limit = null, unit = "" } = {}) {
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
        tooltip: { callbacks: { title: ([item]) => `${moment(item.parsed.x, 0)} UTC` } },
      },
      scales: {
        x: { type: "linear", afterBuildTicks: whole, ticks: { callback: (at, _, ticks) => moment(at, extent(ticks)), maxRotation: 0 } },
        y: {
          beginAtZero: true,
          suggestedMax: limit === null || unit === "bytes" ? 1 : 1.2 * limit,
          ticks: { maxTicksLimit: 5, callback: (value) => amount(value, unit) },
        },
      },
    },
    plugins: limit === null ? [] : [across(limit)],
  });
  paint(chart);
  return chart;
}

/** Ticks at whole minutes, hours or days. */
function whole(scale) {
  const step = STEPS.find((s) => (scale.max - scale.min) / s <= TICKS) ?? STEPS.at(-1);
  scale.ticks = [];
  for (let at = Math.ceil(scale.min / step) * step; at <= scale.max; at += step) scale.ticks.push({ value: at });
}

const extent = (ticks) => (ticks.length > 1 ? ticks.at(-1).value - ticks[0].value : 0);

function moment(at, over) {
  const iso = new Date(at * 1000).toISOString();
  if (over > 1.5 * DAY) return iso.slice(5, 10);
  return over ? iso.slice(11, 16) : iso.slice(0, 16).replace("T", " ");
}

function amount(value, unit) {
  if (unit !== "bytes") return value.toLocaleString("en", { maximumFractionDigits: 2 });
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : value >= 2 ** 20 ? `${Math.round(value / 2 ** 20)} MiB` : `${Math.round(value / 2 ** 10)} KiB`;
}

/** A promise or a threshold, as a dashed line over the whole width. */
const across = (limit) => ({
  id: "limit",
  afterDatasetsDraw({ ctx, chartArea, scales, colours }) {
    if (!colours || limit > scales.y.max) return; // not painted yet, or far above everything
    const y = scales.y.getPixelForValue(limit);
    ctx.save();
    ctx.strokeStyle = colours.bad;
    ctx.lineWidth = 1.5;
    ctx.setLineDash([6, 4]);
    ctx.beginPath();
    ctx.moveTo(chartArea.left, y);
    ctx.lineTo(chartArea.right, y);
    ctx.stroke();
    ctx.restore();
  },
});

/** Colours of the theme as it is now. */
export function paint(chart) {
  const style = getComputedStyle(document.querySelector(".ops"));
  const colour = (name) => style.getPropertyValue(name).trim();
  const dark = document.documentElement.classList.contains("dark");
  chart.colours = {
    primary: colour(dark ? "--color-primary-400" : "--color-primary-600"),
    soft: colour("--soft"),
    bad: colour("--bad"),
    warn: colour("--warn"),
    good: colour("--good"),
    blue: dark ? "#7cb7ff" : "#1d5fb8",
    violet: dark ? "#c4a5ff" : "#6b3fb5",
  };
  for (const dataset of chart.data.datasets) dataset.borderColor = dataset.backgroundColor = chart.colours[dataset.colour];
  for (const scale of Object.values(chart.options.scales)) {
    scale.ticks.color = colour("--soft");
    scale.grid = { color: colour("--line") };
  }
  chart.options.plugins.legend.labels.color = colour("--soft");
}

/** Paint again when light becomes dark. @param {() => object[]} charts */
export function followTheme(charts) {
  new MutationObserver(() => {
    for (const chart of charts()) {
      paint(chart);
      chart.update("none");
    }
  }).observe(document.documentElement, { attributeFilter: ["class"] });
}
