"use strict";
// Makes every table of the report sortable by its heads; a second press turns the order round.
(() => {
  // The number that a cell begins with ("1,234 (5 %)" is 1234), or null.
  function number(text) {
    const found = text.trim().match(/^[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?/i);
    return found && Number(found[0].replaceAll(",", ""));
  }

  function sort(table, column, down) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent }));
    const numbers = rows.map(({ text }) => number(text));
    // Words such as "none yet" among numbers go last, whichever way the numbers run.
    const numeric = numbers.some((value) => value !== null);
    rows.forEach((entry, place) => { entry.value = numbers[place]; });
    rows.sort((a, b) => {
      if (numeric && (a.value === null || b.value === null)) return (a.value === null) - (b.value === null);
      const order = numeric ? a.value - b.value : a.text.localeCompare(b.text, "en");
      return down ? -order : order;
    });
    body.append(...rows.map(({ row }) => row));
  }

  for (const table of document.querySelectorAll("main table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = element("button", head.textContent, { type: "button", title: "Sort by this column" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }
})();
