// What every page of the viewer does: keys, news of runs that go on, the slider of steps, groups that follow further down.

const POLL_MS = 2000;

/** Whether a key press is meant for a field that takes text or moves by keys. */
function typing(target) {
  return target.closest("input, select, textarea, dialog") !== null;
}

/** Elements that a key stands for: `data-key` names it, `data-says` what it does. */
function keyed() {
  return [...document.querySelectorAll("[data-key]")].filter((element) => element.offsetParent !== null || element.closest(".bar"));
}

function row(list, key, says) {
  const term = list.appendChild(document.createElement("dt"));
  term.appendChild(document.createElement("kbd")).textContent = key;
  list.appendChild(document.createElement("dd")).textContent = says;
}

function showHelp() {
  const dialog = document.getElementById("help");
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  for (const element of keyed()) {
    row(list, element.dataset.key, element.dataset.says);
  }
  if (document.querySelector("[data-item], .node, .chart")) {
    row(list, "↓ ↑", "next, former item");
  }
  if (document.querySelector(".chart")) {
    row(list, "← →", "in a chart: step by step; Enter opens the rollouts");
  }
  dialog.showModal();
}

function moveFocus(by) {
  const items = [...document.querySelectorAll("[data-item], .node, .chart [tabindex]")];
  if (items.length === 0) {
    return false;
  }
  const current = items.indexOf(document.activeElement);
  const opened = items.findIndex((item) => item.hasAttribute("aria-current"));
  const start = current >= 0 ? current : opened;
  const place = start < 0 ? 0 : Math.min(Math.max(start + by, 0), items.length - 1);
  items[place].focus();
  items[place].scrollIntoView({ block: "nearest" });
  return true;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) {
    return;
  }
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (moveFocus(event.key === "ArrowDown" ? 1 : -1)) {
      event.preventDefault();
    }
    return;
  }
  const element = keyed().find((each) => each.dataset.key === event.key);
  if (element) {
    event.preventDefault();
    element.click();
  }
}

/** Puts a part of the page as it is now in the place of the one that is shown; scripts in it would not run. */
async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) {
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const found = fresh.getElementById(old.id);
    if (found && found.innerHTML !== old.innerHTML) {
      const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      old.replaceChildren(...found.childNodes);
      if (focused !== null) {
        old.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
    }
  }
  const slider = document.getElementById("step");
  const newer = fresh.getElementById("step");
  if (slider && newer && new URLSearchParams(location.search).get("step") === "latest") {
    for (const name of ["max", "value", "data-steps"]) {
      slider.setAttribute(name, newer.getAttribute(name));
    }
    slider.value = newer.getAttribute("value");
    slider.parentElement.querySelector("output").textContent = newer.parentElement.querySelector("output").textContent;
  }
}

function tell(text) {
  const news = document.getElementById("news");
  news.hidden = text === "";
  news.textContent = text;
}

async function poll() {
  let lost = false;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden) {
      continue;
    }
    try {
      const state = await (await fetch("/state.json", { cache: "no-store" })).json();
      if (lost) {
        lost = false;
        tell("");
      }
      if (state.stamp !== document.body.dataset.stamp) {
        document.body.dataset.stamp = state.stamp;
        document.dispatchEvent(new CustomEvent("news", { detail: state }));
        if (document.querySelector("[data-live]")) {
          await refresh();
        }
      }
    } catch {
      lost = true;
      tell("`axpo view` has ended: this is what it showed last");
    }
  }
}

function wireSlider() {
  const slider = document.getElementById("step");
  if (!slider) {
    return;
  }
  const output = slider.parentElement.querySelector("output");
  const chosen = () => slider.dataset.steps.split(" ")[Number(slider.value)];
  slider.addEventListener("input", () => {
    output.textContent = `step ${chosen()}`;
    slider.setAttribute("aria-valuetext", `step ${chosen()}`);
  });
  slider.addEventListener("change", () => location.assign(slider.dataset.href.replace("STEP", chosen())));
}

/** Groups of earlier steps follow when the end of the list comes near. */
function wireMore() {
  const watch = new IntersectionObserver(async (entries) => {
    const more = document.getElementById("more");
    if (!more || !entries.some((entry) => entry.isIntersecting)) {
      return;
    }
    watch.unobserve(more);
    const answer = await fetch(more.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("grid").append(...(fresh.getElementById("grid")?.childNodes ?? []));
    const count = document.getElementById("count");
    count.textContent = document.querySelectorAll("#grid .group").length;
    document.getElementById("looked").textContent = fresh.getElementById("looked").textContent;
    document.querySelector("p.empty")?.remove();
    const next = fresh.getElementById("more");
    if (next) {
      more.href = next.href;
      more.textContent = next.textContent;
      watch.observe(more);
    } else {
      more.remove();
    }
  }, { rootMargin: "600px" });
  const more = document.getElementById("more");
  if (more) {
    watch.observe(more);
  }
}

function wireShade() {
  const button = document.getElementById("shade");
  if (!button) {
    return;
  }
  const set = (on) => {
    document.body.classList.toggle("unshaded", !on);
    button.classList.toggle("on", on);
    button.setAttribute("aria-pressed", String(on));
  };
  const address = new URL(location.href);
  set(address.searchParams.get("shade") !== "0");
  button.addEventListener("click", () => {
    const on = document.body.classList.contains("unshaded");
    set(on);
    if (on) {
      address.searchParams.delete("shade");
    } else {
      address.searchParams.set("shade", "0");
    }
    history.replaceState(null, "", address);
  });
}

/** The rollout that was asked for is brought into sight among its siblings; the page itself stays where it is. */
function wireColumns() {
  const current = document.querySelector(".columns.several [data-current]");
  if (current) {
    const columns = current.parentElement;
    const past = current.offsetLeft + current.offsetWidth - columns.clientWidth;
    columns.scrollLeft = Math.max(past + 4, 0);
  }
}

document.addEventListener("keydown", onKey);
document.getElementById("help-open").addEventListener("click", showHelp);
for (const form of document.querySelectorAll("form[data-submit]")) {
  form.addEventListener("change", () => form.submit());
}
wireSlider();
wireMore();
wireShade();
wireColumns();
poll();
