"use strict";
// What Python embedded. Text in it came from models: it is only ever shown through textContent.
const embedded = JSON.parse(document.getElementById("data").textContent);

// An element with text and attributes; never HTML.
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A list to pick from, with its label, put at the end of `parent`.
function picker(parent, label, options, first, changed) {
  const select = element("select");
  options.forEach((option, number) => select.append(element("option", option, { value: String(number) })));
  select.value = String(first);
  select.addEventListener("change", () => changed());
  const around = element("label", label + " ");
  around.append(select);
  parent.append(around);
  return select;
}
