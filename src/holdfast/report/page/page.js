"use strict";
// Draws the plots and names their points: on hover, and with the arrow keys. Texts are set as text, never as markup.
(() => {
  const tip = document.getElementById("tip");
  const config = {
    background: null,
    view: { stroke: "var(--edge)" },
    axis: {
      labelColor: "var(--muted)", titleColor: "var(--ink)", domainColor: "var(--muted)", tickColor: "var(--muted)",
      gridColor: "var(--edge)", gridOpacity: 0.6, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500,
    },
    legend: { labelColor: "var(--ink)", titleColor: "var(--ink)", labelFontSize: 12, symbolOpacity: 1 },
    font: "system-ui, sans-serif",
  };

  function show(values, x, y) {
    const list = document.createElement("dl");
    for (const [key, value] of Object.entries(values)) {
      const row = document.createElement("div");
      const name = row.appendChild(document.createElement("dt"));
      const text = row.appendChild(document.createElement("dd"));
      name.textContent = key;
      text.textContent = String(value);
      list.appendChild(row);
    }
    tip.replaceChildren(list);
    tip.hidden = false;
    const left = Math.min(x + 14, window.innerWidth - tip.offsetWidth - 8);
    const below = y + 14 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? y + 14 : Math.max(8, y - tip.offsetHeight - 10)}px`;
  }

  function hide() {
    tip.hidden = true;
  }

  function points(plot) {
    return [...plot.querySelectorAll(".mark-symbol.role-mark path")].filter((path) => path.__data__?.tooltip);
  }

  function walk(plot) {
    let at = -1;
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const all = points(plot);
      if (event.key === "Escape") hide();
      if (!step || !all.length) return;
      event.preventDefault();
      at = (at + step + all.length) % all.length;
      const box = all[at].getBoundingClientRect();
      show(all[at].__data__.tooltip, box.left + box.width / 2, box.top + box.height / 2);
    });
    plot.addEventListener("blur", hide);
  }

  async function draw(plot) {
    const spec = JSON.parse(plot.nextElementSibling.textContent);
    const compiled = vegaLite.compile(spec, { config }).spec;
    const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: vega.expressionInterpreter, renderer: "svg", container: plot, hover: true, loader: { load: () => Promise.reject() },
    });
    view.tooltip((handler, event, item, value) => {
      if (value === null || value === undefined || value === "") hide();
      else show(value, event.clientX, event.clientY);
    });
    await view.runAsync();
    walk(plot);
  }

  async function all() {
    for (const plot of document.querySelectorAll(".plot")) await draw(plot);
    document.documentElement.dataset.drawn = "yes";
  }

  all();
})();
