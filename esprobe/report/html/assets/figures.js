"use strict";
// Draws the embedded figures with Plotly, and redraws them when another chart, colour scheme or condition is asked for.
(() => {
  const PLACEHOLDER = "#555555"; // Python's word for "the colour of the text"
  const hidden = new Set();      // ids of conditions that the reader switched off
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  // Colours are read from the style sheet, so that charts follow it into dark mode and onto paper.
  function themed(layout, ink, line) {
    const axis = { color: ink, gridcolor: line, linecolor: line, zerolinecolor: line };
    return {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: ink },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", groupclick: "togglegroup" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
      margin: { l: 60, r: 20, t: 30, b: 60 },
      autosize: true,
    };
  }

  function inked(trace, ink) {
    return JSON.parse(JSON.stringify(trace).replaceAll(`"${PLACEHOLDER}"`, `"${ink}"`));
  }

  function draw(figure) {
    const key = figure.selects.map((select) => select.value).join(",");
    const chart = figure.charts[key];
    figure.words.hidden = !chart.absent;
    figure.words.textContent = chart.absent || "";
    figure.plot.classList.toggle("empty", Boolean(chart.absent));
    if (chart.absent) return Plotly.purge(figure.plot);
    const style = getComputedStyle(document.documentElement);
    const ink = printing ? "#000000" : style.getPropertyValue("--ink").trim();
    const line = printing ? "#999999" : style.getPropertyValue("--line").trim();
    const traces = chart.data.map((trace) => {
      const made = inked(trace, ink);
      if (hidden.has(trace.meta)) made.visible = "legendonly";
      return made;
    });
    return Plotly.react(figure.plot, traces, themed(chart.layout, ink, line), {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"],
    });
  }

  const figures = embedded.figures.map((made) => {
    const home = document.getElementById(made.name);
    const figure = { ...made, plot: home.querySelector(".plot"), words: home.querySelector(".absent"), selects: [] };
    const controls = home.querySelector(".controls");
    for (const choice of made.choices)
      figure.selects.push(picker(controls, choice.label, choice.options, choice.first, () => draw(figure)));
    draw(figure);
    return figure;
  });
  const drawAll = () => Promise.all(figures.map(draw));

  const toggles = document.getElementById("toggles");
  for (const condition of embedded.conditions) {
    const box = element("input", "", { type: "checkbox", "data-condition": condition.id });
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(condition.id); else hidden.add(condition.id);
      drawAll();
    });
    const label = element("label");
    label.append(box, " " + condition.label);
    toggles.append(label);
  }

  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });
})();
