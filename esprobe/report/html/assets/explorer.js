"use strict";
// Problems by which of two conditions (or arms) solves them, and the embedded completions of one problem at a time.
(() => {
  const home = document.getElementById("explorer");
  const { problems, conditions, completions, fields, arms, first } = embedded.explorer;
  if (!problems.length) return;
  const PAGE = 15;
  const SETS = ["all", "both", "only A", "only B", "neither"];
  const sides = [...arms, ...conditions.map((condition, place) => ({ label: condition.label, places: [place] }))];
  const state = { set: "all", page: 0, problem: null, completion: 0 };

  const controls = home.querySelector(".controls");
  const restart = () => { state.page = 0; list(); };
  const names = sides.map((side) => side.label);
  const a = picker(controls, "A", names, first[0], restart);
  const b = picker(controls, "B", names, first[1], restart);
  const groups = [...new Set(problems.map((problem) => problem.group))].sort();
  const group = picker(controls, "Problem class", ["all", ...groups], 0, restart);

  const buttons = SETS.map((set) => {
    const button = element("button", set, { type: "button", "data-set": set });
    button.addEventListener("click", () => { state.set = set; restart(); });
    return button;
  });
  home.querySelector(".sets").append(...buttons);

  // Whether any condition of a side solves a problem; null where none of them has a rollout of it.
  function solves(side, problem) {
    const drawn = side.places.filter((place) => problem.n[place] > 0);
    return drawn.length ? drawn.some((place) => problem.c[place] > 0) : null;
  }

  function setOf(problem) {
    const [x, y] = [solves(sides[a.value], problem), solves(sides[b.value], problem)];
    if (x === null || y === null) return null;
    return x && y ? "both" : x ? "only A" : y ? "only B" : "neither";
  }

  function list() {
    const chosen = group.value === "0" ? null : groups[group.value - 1];
    const inGroup = problems.filter((problem) => chosen === null || problem.group === chosen);
    const found = inGroup.filter((problem) => state.set === "all" || setOf(problem) === state.set);
    buttons.forEach((button, place) => {
      const set = SETS[place];
      const many = set === "all" ? inGroup.length : inGroup.filter((problem) => setOf(problem) === set).length;
      button.textContent = `${set} (${many})`;
      button.setAttribute("aria-pressed", String(state.set === set));
    });
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const body = home.querySelector(".problems tbody");
    body.replaceChildren(...found.slice(state.page * PAGE, (state.page + 1) * PAGE).map(row));
    turner(home.querySelector(".pages"), "page", state.page, pages, (page) => { state.page = page; list(); });
  }

  function row(problem) {
    const made = element("tr", "", problem === state.problem ? { class: "chosen" } : {});
    const open = element("button", problem.name, { type: "button", title: "Show this problem's completions" });
    open.addEventListener("click", () => { state.problem = problem; state.completion = 0; list(); show(); });
    const cell = element("td");
    cell.append(open);
    made.append(cell, element("td", problem.group), element("td", problem.inputs));
    conditions.forEach((_, place) => {
      made.append(element("td", problem.n[place] ? `${problem.c[place]}/${problem.n[place]}` : "none"));
    });
    return made;
  }

  // "previous", "3 of 8", "next" inside `parent`; the focus stays on the button that was pressed.
  function turner(parent, noun, at, of, turn) {
    const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.turn : null;
    const previous = element("button", `previous ${noun}`, { type: "button", "data-turn": "-1" });
    const next = element("button", `next ${noun}`, { type: "button", "data-turn": "1" });
    previous.disabled = at <= 0;
    next.disabled = at >= of - 1;
    previous.addEventListener("click", () => turn(at - 1));
    next.addEventListener("click", () => turn(at + 1));
    parent.replaceChildren(previous, element("span", ` ${noun} ${at + 1} of ${of} `, { role: "status" }), next);
    if (focused) parent.querySelector(`[data-turn="${focused}"]`).focus();
  }

  function show() {
    const panel = home.querySelector(".rollouts");
    const { problem } = state;
    panel.hidden = false;
    panel.querySelector("h4").textContent = `Problem ${problem.name}: ${problem.inputs}`;
    const found = completions[problem.place];
    panel.querySelector("pre").hidden = !found.length;
    const facts = panel.querySelector(".facts");
    if (!found.length) {
      facts.textContent = "No completion of this problem is embedded in this page.";
      panel.querySelector(".turn").replaceChildren();
      return;
    }
    const one = Object.fromEntries(fields.map((field, place) => [field, found[state.completion][place]]));
    facts.replaceChildren(
      element("span", one.correct ? "correct" : `wrong${one.failure ? ": " + one.failure : ""}`,
        { class: one.correct ? "right" : "wrong" }),
      `; ${conditions[one.condition].label}, seed ${one.seed}, ${one.tokens} tokens, ended by ${one.finish}` +
      (one.answer === null ? "" : `, answer ${one.answer}`),
    );
    panel.querySelector("pre").textContent = one.text;
    turner(panel.querySelector(".turn"), "completion", state.completion, found.length, (place) => {
      state.completion = place;
      show();
    });
  }

  problems.forEach((problem, place) => { problem.place = place; });
  list();
})();
