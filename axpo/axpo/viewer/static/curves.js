// The curves of all runs: fetched again when there are new records; the lines that are hidden stand in the address.

import { Chart } from "./chart.js";

const place = document.getElementById("charts");
const legend = document.getElementById("legend");
const drawn = new Map();
let data = { lines: [], charts: [] };
let tag = null;

const hidden = () => new URLSearchParams(location.search).getAll("hide");
const shown = (number) => !hidden().includes(data.lines[number].label);

/** What is pointed at, in all charts at a time. */
const at = {
  step: null,
  move(step, chart) {
    this.step = step;
    for (const each of drawn.values()) {
      each.mark(step, each === chart);
    }
  },
  open(step) {
    const line = data.lines.find((_, number) => shown(number));
    if (line && step !== null) {
      openNearest(line.runs[0], step);
    }
  },
};

/** Rollouts of some steps alone are saved: the page of a run's nearest such step is opened. */
async function openNearest(run, step) {
  const answer = await fetch(`/rollouts?${new URLSearchParams({ run })}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const saved = (page.getElementById("step")?.dataset.steps ?? "").split(" ").filter(Boolean).map(Number);
  const nearest = saved.reduce((best, each) => (Math.abs(each - step) < Math.abs(best - step) ? each : best), saved[0]);
  if (nearest !== undefined) {
    location.assign(`/rollouts?${new URLSearchParams({ run, step: nearest })}`);
  }
}

function toggle(label) {
  const address = new URL(location.href);
  const left = hidden().filter((each) => each !== label);
  const all = left.length < hidden().length ? left : [...left, label];
  address.searchParams.delete("hide");
  all.forEach((each) => address.searchParams.append("hide", each));
  history.replaceState(null, "", address);
  show();
}

function showLegend() {
  const focused = legend.contains(document.activeElement) ? [...legend.children].indexOf(document.activeElement) : -1;
  legend.replaceChildren();
  data.lines.forEach((line, number) => {
    const button = legend.appendChild(document.createElement("button"));
    button.type = "button";
    button.setAttribute("aria-pressed", String(shown(number)));
    button.title = line.runs.join(", ");
    button.appendChild(document.createElement("span")).className = `dot role-${line.role}`;
    button.append(line.runs.length > 1 ? `${line.label} (${line.runs.length} seeds)` : line.label);
    button.addEventListener("click", () => toggle(line.label));
  });
  const note = legend.appendChild(document.createElement("span"));
  note.className = "note";
  const seeds = data.lines.some((line) => line.runs.length > 1);
  note.textContent = `Bold: trailing mean over 5 steps${seeds ? ", averaged over seeds; the band spans them" : "; faint: single steps"}.`;
  if (focused >= 0) {
    legend.children[focused]?.focus();
  }
}

function card(chart) {
  const section = place.appendChild(document.createElement("section"));
  section.className = "card chart";
  section.appendChild(document.createElement("h3")).textContent = chart.title;
  const caption = section.appendChild(document.createElement("div"));
  caption.className = "note";
  caption.textContent = chart.caption;
  return new Chart(section, at);
}

function show() {
  showLegend();
  const titles = new Set(data.charts.map((chart) => chart.title));
  for (const [title, chart] of drawn) {
    if (!titles.has(title)) {
      chart.card.remove();
      drawn.delete(title);
    }
  }
  for (const chart of data.charts) {
    if (!drawn.has(chart.title)) {
      drawn.set(chart.title, card(chart));
    }
    drawn.get(chart.title).draw(chart, data.lines, shown);
  }
}

async function load() {
  const answer = await fetch("/curves.json", tag === null ? {} : { headers: { "If-None-Match": tag } });
  if (answer.status !== 200) {
    return;
  }
  tag = answer.headers.get("ETag");
  data = await answer.json();
  if (drawn.size === 0) {
    place.replaceChildren();
  }
  if (data.charts.length === 0) {
    place.textContent = "No step has ended yet.";
    return;
  }
  if (place.firstChild?.nodeType === Node.TEXT_NODE) {
    place.replaceChildren();
  }
  show();
}

new ResizeObserver(() => drawn.size > 0 && requestAnimationFrame(show)).observe(place);
document.addEventListener("news", load);
load();
