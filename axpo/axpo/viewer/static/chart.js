// Draws one chart: curves, bands over seeds, and what the pointer or the arrow keys are at.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 210;
const EDGE = { left: 44, right: 10, top: 10, bottom: 24 };

function make(parent, name, attributes = {}) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  return element;
}

/** Round numbers from low to high, about so many. */
function ticks(low, high, about) {
  const rough = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / unit - 1e-9) * unit; value <= high + unit * 1e-9; value += unit) {
    found.push(Number(value.toPrecision(12)));
  }
  return found;
}

/** A number as the axis and the tip of a chart show it. */
export function said(value, share) {
  if (value === null || value === undefined) {
    return "–";
  }
  if (share) {
    return `${Number((100 * value).toFixed(1))}%`;
  }
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= unit) {
      return `${Number((value / unit).toPrecision(3))}${name}`;
    }
  }
  return String(Number(value.toPrecision(3)));
}

/** Stretches without gaps: a curve is broken where nothing was counted. */
function runs(steps, values) {
  const found = [];
  let open = null;
  steps.forEach((step, number) => {
    if (values[number] === null) {
      open = null;
      return;
    }
    if (open === null) {
      open = [];
      found.push(open);
    }
    open.push(number);
  });
  return found;
}

function extent(chart, shown) {
  let [first, last, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  chart.lines.forEach((curves, number) => {
    if (!shown(number)) {
      return;
    }
    for (const curve of curves) {
      if (curve.steps.length > 0) {
        first = Math.min(first, curve.steps[0]);
        last = Math.max(last, curve.steps.at(-1));
      }
      for (const values of [curve.mean, curve.low, curve.high, curve.single]) {
        for (const value of values ?? []) {
          if (value !== null) {
            low = Math.min(low, value);
            high = Math.max(high, value);
          }
        }
      }
    }
  });
  if (low > high) {
    return null;
  }
  const share = chart.share && low >= 0 && high <= 1;
  if (share) {
    return { first, last, low: 0, high: 1, share };
  }
  const room = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
  return { first, last, low: low >= 0 ? 0 : low - room, high: high + room, share: false };
}

/** One chart in a card of the page; `draw` again whenever its data, its width or the lines shown have changed. */
export class Chart {
  constructor(card, at) {
    this.card = card;
    this.at = at;
    this.svg = make(card, "svg", { tabindex: "0", role: "img" });
    this.tip = card.appendChild(document.createElement("div"));
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.svg.addEventListener("pointermove", (event) => at.move(this.stepAt(event.clientX), this));
    this.svg.addEventListener("pointerleave", () => at.move(null, this));
    this.svg.addEventListener("click", (event) => at.open(this.stepAt(event.clientX)));
    this.svg.addEventListener("keydown", (event) => this.onKey(event));
    this.svg.addEventListener("blur", () => at.move(null, this));
  }

  draw(chart, legend, shown) {
    this.chart = chart;
    this.legend = legend;
    this.shown = shown;
    const width = Math.max(this.card.clientWidth - 32, 160);
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.summary());
    this.width = width;
    this.range = extent(chart, shown);
    if (this.range === null) {
      return;
    }
    this.axes();
    chart.lines.forEach((curves, number) => {
      if (shown(number)) {
        const group = make(this.svg, "g", { class: `role-${legend[number].role}` });
        curves.forEach((curve, second) => this.curve(group, curve, second > 0));
      }
    });
    this.marks = make(this.svg, "g");
  }

  summary() {
    const last = this.chart.lines.map((curves, number) => {
      const value = curves[0].mean.findLast((each) => each !== null);
      return this.shown(number) ? `${this.legend[number].label} ${said(value, this.chart.share)}` : null;
    });
    return `${this.chart.title}. At the end: ${last.filter((each) => each !== null).join(", ")}`;
  }

  x(step) {
    const { first, last } = this.range;
    const share = last > first ? (step - first) / (last - first) : 0.5;
    return EDGE.left + share * (this.width - EDGE.left - EDGE.right);
  }

  y(value) {
    const { low, high } = this.range;
    return EDGE.top + (1 - (value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  }

  stepAt(clientX) {
    if (!this.range) {
      return null;
    }
    const box = this.svg.getBoundingClientRect();
    const share = (clientX - box.left - EDGE.left) / (this.width - EDGE.left - EDGE.right);
    const { first, last } = this.range;
    return this.nearest(first + Math.min(Math.max(share, 0), 1) * (last - first));
  }

  /** The step nearest to a place at which this chart has a value. */
  nearest(place) {
    const steps = this.chart.lines.flatMap((curves, number) => (this.shown(number) ? curves[0].steps : []));
    return steps.reduce((best, each) => (Math.abs(each - place) < Math.abs(best - place) ? each : best), steps[0] ?? null);
  }

  axes() {
    const { low, high, first, last, share } = this.range;
    for (const value of share ? [0, 0.25, 0.5, 0.75, 1] : ticks(low, high, 4)) {
      const y = this.y(value).toFixed(1);
      make(this.svg, "line", { class: "axis", x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y });
      make(this.svg, "text", { class: "tick", x: EDGE.left - 7, y: Number(y) + 4, "text-anchor": "end" }).textContent = said(value, share);
    }
    for (const step of ticks(first, last, Math.max(this.width / 90, 2)).filter(Number.isInteger)) {
      const text = make(this.svg, "text", { class: "tick", x: this.x(step).toFixed(1), y: HEIGHT - 6, "text-anchor": "middle" });
      text.textContent = step;
    }
  }

  curve(group, curve, second) {
    const path = (numbers, values) => numbers.map((n) => `${this.x(curve.steps[n]).toFixed(1)} ${this.y(values[n]).toFixed(1)}`).join("L");
    if (curve.low && !second) {
      for (const numbers of runs(curve.steps, curve.mean)) {
        const back = path([...numbers].reverse(), curve.low);
        make(group, "path", { class: "band", d: `M${path(numbers, curve.high)}L${back}Z` });
      }
    }
    if (curve.single) {
      for (const numbers of runs(curve.steps, curve.single)) {
        make(group, "path", { class: "curve single", d: `M${path(numbers, curve.single)}` });
      }
    }
    for (const numbers of runs(curve.steps, curve.mean)) {
      make(group, "path", { class: second ? "curve second" : "curve", d: `M${path(numbers, curve.mean)}` });
      if (numbers.length === 1 || curve.steps.length < 15) {
        for (const n of numbers) {
          make(group, "circle", { class: "point", cx: this.x(curve.steps[n]), cy: this.y(curve.mean[n]), r: 2.6 });
        }
      }
    }
  }

  /** Marks a step; the tip with its values stands in the chart that is pointed at alone. */
  mark(step, pointed) {
    this.tip.hidden = true;
    this.marks?.replaceChildren();
    if (step === null || !this.range || step < this.range.first || step > this.range.last) {
      return;
    }
    const x = this.x(step);
    make(this.marks, "line", { class: "cross", x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom });
    const rows = [];
    this.chart.lines.forEach((curves, number) => {
      const at = this.shown(number) ? curves[0].steps.indexOf(step) : -1;
      if (at < 0 || curves[0].mean[at] === null) {
        return;
      }
      const group = make(this.marks, "g", { class: `role-${this.legend[number].role}` });
      make(group, "circle", { class: "point", cx: x, cy: this.y(curves[0].mean[at]), r: 4 });
      rows.push([this.legend[number], curves, at]);
    });
    if (pointed) {
      this.tell(step, rows, x);
    }
  }

  tell(step, rows, x) {
    this.tip.replaceChildren();
    this.tip.appendChild(document.createElement("b")).textContent = `step ${step}`;
    for (const [line, curves, at] of rows) {
      const row = this.tip.appendChild(document.createElement("div"));
      row.appendChild(document.createElement("span")).className = `dot role-${line.role}`;
      const values = curves.map((curve) => said(curve.mean[at] ?? null, this.chart.share)).join(" / ");
      const band = curves[0].low ? ` (${said(curves[0].low[at], this.chart.share)} to ${said(curves[0].high[at], this.chart.share)})` : "";
      row.append(`${line.label} ${values}${band}`);
    }
    this.tip.hidden = false;
    const right = x > this.width / 2;
    this.tip.style.left = right ? "auto" : `${x + 26}px`;
    this.tip.style.right = right ? `${this.width - x + 26}px` : "auto";
    this.tip.style.bottom = "44px";
  }

  onKey(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && this.range) {
      event.preventDefault();
      const steps = [...new Set(this.chart.lines.flatMap((curves) => curves[0].steps))].sort((a, b) => a - b);
      const from = this.at.step;
      const next = by > 0 ? steps.find((each) => from === null || each > from) : steps.findLast((each) => from === null || each < from);
      this.at.move(next ?? from, this);
    } else if (event.key === "Enter" && this.at.step !== null) {
      this.at.open(this.at.step);
    }
  }
}
