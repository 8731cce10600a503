// Draws the plots of the page out of the JSON in it. Text goes into the page as text, never as HTML.
(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const plots = new Map();
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const dash = { line: [], dots: [], faint: [], dashed: [8, 4], reference: [3, 4] };
  const markDash = { oom: [], cleanup: [2, 3], size: [6, 4], run: [1, 4] };

  function digits(value) {
    if (value == null) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
    if (Number.isInteger(value)) return String(value);
    return size >= 1000 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(3);
  }

  // Curves have points at different places: each shows its own nearest one.
  function nearest(plot, series, index) {
    const values = plot.data[series];
    if (values[index] != null) return index;
    let [left, right] = [index, index];
    while (left >= 0 && values[left] == null) left--;
    while (right < values.length && values[right] == null) right++;
    if (left < 0) return right < values.length ? right : index;
    if (right >= values.length) return left;
    const x = plot.data[0];
    return x[index] - x[left] <= x[right] - x[index] ? left : right;
  }

  function drawMarks(chart, plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const mark of chart.marks) {
      ctx.strokeStyle = ctx.fillStyle = colour(mark.kind === "point" ? "c2" : mark.kind);
      const x = plot.valToPos(mark.x, "x", true), size = devicePixelRatio;
      ctx.beginPath();
      if (mark.y != null) {
        ctx.arc(x, plot.valToPos(mark.y, "y", true), 4.5 * size, 0, 7);
        ctx.fill();
        continue;
      }
      ctx.setLineDash((markDash[mark.kind] || []).map(length => length * size));
      ctx.lineWidth = 1.5 * size;
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (mark.kind === "oom") {
        ctx.beginPath();
        ctx.moveTo(x - 6 * size, bbox.top);
        ctx.lineTo(x + 6 * size, bbox.top);
        ctx.lineTo(x, bbox.top + 9 * size);
        ctx.fill();
      }
    }
    ctx.restore();
  }

  // Says which marks are at the cursor and, to those who walk with the arrow keys, what the curves are there.
  function tell(chart, plot, place) {
    const { left, top } = plot.cursor;
    const near = mark => left >= 0 && Math.abs(plot.valToPos(mark.x, "x") - left) < 6
      && (mark.y == null || top == null || Math.abs(plot.valToPos(mark.y, "y") - top) < 12);
    const labels = chart.marks.filter(near).slice(0, 3).map(mark => mark.label);
    if (plot.walked != null) {
      const at = series => digits(plot.data[series][nearest(plot, series, plot.walked)]);
      const values = chart.series.map((spec, i) => `${spec.label} ${at(i + 1)}`);
      labels.unshift(`${chart.x_label} ${digits(plot.data[0][plot.walked])}`, ...values);
    }
    place.textContent = labels.join(" · ");
  }

  function seriesOf(spec) {
    const stroke = colour("c" + spec.colour);
    const width = { faint: 1, reference: 1, dots: 2, line: 2, dashed: 2 }[spec.style];
    return {
      label: spec.label,
      stroke: spec.style === "faint" ? stroke + "66" : stroke,
      width, dash: dash[spec.style], spanGaps: true,
      // A curve of one point has no line.
      points: { show: spec.style === "dots" || spec.single, size: 6, fill: stroke },
      value: (_, value) => digits(value),
    };
  }

  function size(element, chart) {
    const width = Math.max(200, Math.floor(element.clientWidth));
    return { width, height: chart.square ? Math.min(width, 340) : 250 };
  }

  function draw(chart) {
    const element = document.getElementById(chart.id), here = element.parentElement.querySelector(".here");
    const [soft, grid] = [colour("soft"), colour("grid")];
    chart.series.forEach((spec, i) => { spec.single = chart.columns[i + 1].filter(y => y != null).length === 1; });
    const axis = label => ({
      label, stroke: soft, labelSize: 18, labelFont: "12px system-ui", font: "12px system-ui", labelGap: 0,
      grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 },
      values: (_, splits) => splits.map(split => split == null ? "" : String(+split.toPrecision(6))),
    });
    const unit = { range: () => [0, 1] };
    const xs = chart.columns[0];
    const x = chart.square ? unit : xs[0] === xs[xs.length - 1] ? { range: () => [xs[0] - 1, xs[0] + 1] } : {};
    const y = chart.square ? unit : chart.y_range ? { range: () => chart.y_range } : {};
    const plot = new uPlot({
      ...size(element, chart),
      scales: { x: { time: false, ...x }, y },
      axes: [{ ...axis(chart.x_label), size: 34 }, { ...axis(chart.y_label), size: 60 }],
      series: [{ label: chart.x_label, value: (_, value) => digits(value) }, ...chart.series.map(seriesOf)],
      cursor: { dataIdx: nearest, drag: { x: true, y: false }, points: { size: 7 } },
      hooks: { draw: [plot => drawMarks(chart, plot)], setCursor: [plot => tell(chart, plot, here)] },
    }, chart.columns, element);
    plot.over.addEventListener("mousemove", () => { plot.walked = null; });
    plots.set(chart.id, { plot, chart, element });
  }

  function drawAll() {
    plots.forEach(({ plot }) => plot.destroy());
    plots.clear();
    charts.forEach(draw);
  }

  // The arrow keys walk along the curves, Escape shows all of them again.
  function walk(event) {
    const held = plots.get(event.target.id);
    if (!held) return;
    const { plot } = held, xs = plot.data[0], last = xs.length - 1;
    const now = plot.cursor.idx ?? -1;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") plot.setData(plot.data);
    if (to === undefined) return;
    event.preventDefault();
    plot.walked = Math.min(Math.max(to, 0), last);
    const left = plot.valToPos(xs[plot.walked], "x");
    plot.setCursor({ left, top: 10 });
  }

  // The numbers behind a plot, made when they are asked for.
  function fill(details) {
    const held = plots.get(details.dataset.chart);
    if (!held || details.querySelector("table")) return;
    const { chart } = held, make = (name, text) => Object.assign(document.createElement(name), { textContent: text });
    const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    [chart.x_label, ...chart.series.map(spec => spec.label)].forEach(label => {
      head.append(Object.assign(make("th", label), { scope: "col" }));
    });
    chart.columns[0].forEach((_, row) => {
      body.insertRow().append(...chart.columns.map(column => make("td", column[row] == null ? "" : digits(column[row]))));
    });
    const wide = Object.assign(document.createElement("div"), { className: "wide tall", tabIndex: 0 });
    wide.append(table);
    details.append(wide);
  }

  drawAll();
  document.addEventListener("keydown", walk);
  document.querySelectorAll("details.numbers").forEach(details => {
    details.addEventListener("toggle", () => details.open && fill(details));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const watch = new ResizeObserver(entries => entries.forEach(({ target }) => {
    const held = plots.get(target.id);
    if (held && held.plot.width !== size(target, held.chart).width) held.plot.setSize(size(target, held.chart));
  }));
  plots.forEach(({ element }) => watch.observe(element));
})();
