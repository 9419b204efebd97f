"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const options = { mode: "vega-lite", renderer: "svg", actions: false, tooltip: { theme: dark ? "dark" : "light" } };

  // Charts: those near the window first, the others when the browser has time.
  const parse = (element) => JSON.parse(element.textContent);
  const waiting = [...document.querySelectorAll("figure.chart")];
  const draw = async (figure) => {
    const specs = parse(figure.querySelector(".specs"));
    const panels = [...figure.querySelectorAll(".panel")];
    const made = await Promise.all(panels.map((panel, place) => vegaEmbed(panel, specs[place], options)));
    const views = made.map((item) => item.view);
    panels.forEach((panel) => panel.querySelector("svg").setAttribute("aria-hidden", "true"));
    offerZoom(figure, views);
    figure.dataset.drawn = "true";
  };
  const zoomed = (scale, factor) => {
    const [first, last] = scale.range();
    const middle = (first + last) / 2, half = ((last - first) / 2) * factor;
    return [scale.invert(middle - half), scale.invert(middle + half)];
  };
  const offerZoom = (figure, views) => {
    const moving = views.map((view) => ["x", "y"].filter((axis) => `zoom_${axis}` in view.getState().signals));
    const controls = figure.querySelector(".zoom");
    controls.hidden = !moving.some((axes) => axes.length);
    controls.addEventListener("click", ({ target }) => {
      const how = target.dataset.zoom;
      if (!how) return;
      views.forEach((view, place) => {
        for (const axis of moving[place])
          view.signal(`zoom_${axis}`, how === "reset" ? null : zoomed(view.scale(axis), how === "in" ? 0.7 : 1 / 0.7));
        view.runAsync();
      });
    });
  };
  const fail = (figure, error) => {
    figure.dataset.drawn = "failed";
    figure.querySelector(".panel").textContent = "This chart could not be drawn; its numbers are in the table.";
    console.error(error);
  };
  const start = (figure) => {
    if (figure.dataset.begun) return Promise.resolve();
    figure.dataset.begun = "true";
    return draw(figure).catch((error) => fail(figure, error));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); start(entry.target); }
  }, { rootMargin: "400px" });
  waiting.forEach((figure) => watcher.observe(figure));
  const later = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  const drawRest = async () => {
    const figure = waiting.shift();
    if (!figure) { document.body.dataset.charts = "drawn"; performance.mark("charts-drawn"); return; }
    await start(figure);
    later(drawRest);
  };
  later(drawRest);
  addEventListener("beforeprint", () => waiting.forEach(start));

  // On a narrow page the list of sections begins closed.
  if (matchMedia("(max-width: 999px)").matches) document.querySelector("nav details").open = false;

  // Completions: text of models and data sets only ever becomes text.
  const source = document.getElementById("sample-data");
  if (!source) return;
  const { files, rows } = parse(source);
  const size = 10;
  const form = document.getElementById("filters"), list = document.getElementById("completions");
  const status = document.getElementById("found");
  const [previous, next] = ["previous", "next"].map((id) => document.getElementById(id));
  const names = { format: "not in its format", cut: "cut off", ungradable: "right answer cannot be read" };
  let found = rows, page = 0;
  const make = (tag, text, kind) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const show = () => {
    const first = page * size, shown = found.slice(first, first + size);
    status.textContent = found.length
      ? `${first + 1} to ${first + shown.length} of ${found.length} completions that fit, of ${rows.length}`
      : `None of ${rows.length} completions fits.`;
    previous.disabled = page === 0;
    next.disabled = first + size >= found.length;
    list.replaceChildren(...shown.map(item));
  };
  const item = ([file, sample, number, question, rationale, completion, answer, prediction, marks]) => {
    const entry = document.createElement("li"), origin = make("p", "", "origin");
    for (const mark of marks) origin.append(make("span", names[mark] ?? mark, `verdict ${mark}`));
    origin.append(`${files[file]}, sample ${sample}, completion ${number}`);
    const texts = document.createElement("dl");
    const parts = [["Question", question], ["Rationale", rationale], [rationale ? "Then" : "Completion", completion],
      ["Answer read", prediction ?? "none found"], ["Right answer", answer]];
    for (const [name, text] of parts) if (text) texts.append(make("dt", name), make("dd", text.trim()));
    entry.append(origin, texts);
    return entry;
  };
  const filter = () => {
    const { file, mark, text } = form.elements, wanted = text.value.trim().toLowerCase();
    found = rows.filter((row) => (file.value === "" || row[0] === Number(file.value))
      && (mark.value === "" || row[8].includes(mark.value))
      && (!wanted || row.slice(3, 7).some((part) => part.toLowerCase().includes(wanted))));
    page = 0;
    show();
  };
  const turn = (pages) => { page += pages; show(); document.getElementById("samples").scrollIntoView(); };
  for (const kind of ["input", "change"]) form.addEventListener(kind, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  filter();
})();
