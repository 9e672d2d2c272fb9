"use strict";
/* A table that sorts by a click on a heading and filters by text.

   Fieldmark.table({caption, columns, rows, sort, filter, most})  -> an element.
       columns: [{title, kind, digits}]; kind: "text" (default; the first column heads its row), "count", "number",
           "signed" (a percentage with + or −), "share" (a percentage with a bar), "node" (row values are made by `node(value) -> element`, not sorted).
       rows: a list of values a row, in the order of the columns; null sorts last.
       sort: {column: 2, descending: true}, none for the order given; filter: what the field says that filters by
       the first column, none for no field; most: rows shown before "Show all". */

(() => {
  const { element, plural } = Fieldmark;
  const shown = {
    text: (value) => (value === null || value === undefined ? "–" : Fieldmark.breakable(value)),
    count: (value) => Fieldmark.count(value),
    number: (value, column) => Fieldmark.number(value, column.digits ?? 3),
    signed: (value, column) => (value > 0 ? "+" : "") + Fieldmark.percent(value, column.digits ?? 1),
    node: (value, column) => (value === null ? "" : column.node(value)),
  };

  function share(value, column) {
    const bar = element("i", { style: { width: `${Math.max(0, Math.min(1, value || 0)) * 100}%` } });
    return [element("span", { class: "meter", "aria-hidden": "true" }, bar), Fieldmark.percent(value, column.digits ?? 1)];
  }

  function cell(value, column, heads) {
    const kind = column.kind || "text";
    const content = kind === "share" ? share(value, column) : shown[kind](value, column);
    if (heads) return element("th", { scope: "row" }, content);
    return element("td", { class: ["text", "node"].includes(kind) ? "" : "number" }, content);
  }

  const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

  function sorted(rows, { column, descending }) {
    const order = (one, other) => {
      const [a, b] = [one[column], other[column]];
      if (a === null || b === null || a === undefined || b === undefined) return (a == null) - (b == null);
      const found = typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b));
      return descending ? -found : found;
    };
    return [...rows].sort(order);
  }

  Fieldmark.table = ({ caption, columns, rows, sort, filter, most = 25 }) => {
    const state = { sort: sort || null, wanted: "", all: rows.length <= most + 5 };
    const body = element("tbody");
    const status = element("span", { class: "small faint", role: "status" });
    const more = element("button", { class: "button", type: "button", on: { click: () => { state.all = true; draw(); } } });
    const sortable = columns.map((column) => column.kind !== "node" && rows.length > 1);

    const headings = columns.map((column, place) => {
      const kind = column.kind || "text";
      const right = ["text", "node"].includes(kind) ? "" : "number";
      if (!sortable[place]) return element("th", { scope: "col", class: `plain ${right}` }, column.title);
      const arrow = element("span", { class: "arrow", "aria-hidden": "true" });
      const button = element("button", { type: "button", on: { click: () => choose(place) } }, column.title, arrow);
      return element("th", { scope: "col", class: right }, button);
    });

    function choose(place) {
      const again = state.sort && state.sort.column === place;
      const text = (columns[place].kind || "text") === "text";
      state.sort = { column: place, descending: again ? !state.sort.descending : !text };
      draw();
    }

    function draw() {
      headings.forEach((heading, place) => {
        if (!sortable[place]) return;
        const mine = state.sort && state.sort.column === place;
        heading.setAttribute("aria-sort", mine ? (state.sort.descending ? "descending" : "ascending") : "none");
        heading.querySelector(".arrow").textContent = mine ? (state.sort.descending ? "▾" : "▴") : "";
      });
      const wanted = state.wanted.toLowerCase();
      const found = wanted
        ? rows.filter((row) => String(row[0] ?? "").toLowerCase().includes(wanted))
        : rows;
      const few = (state.sort ? sorted(found, state.sort) : found).slice(0, state.all ? undefined : most);
      body.replaceChildren(
        ...few.map((row) => element("tr", null, row.map((value, place) => cell(value, columns[place], place === 0))))
      );
      status.textContent = few.length < rows.length ? `${few.length} of ${plural(rows.length, "row")}` : "";
      more.hidden = few.length === found.length;
      more.textContent = `Show all ${Fieldmark.count(found.length)}`;
    }

    const field = filter && element("input", {
      class: "field", type: "search", placeholder: filter, "aria-label": filter,
      on: { input: (event) => { state.wanted = event.target.value.trim(); draw(); } },
    });
    const head = element("thead", null, element("tr", null, headings));
    const table = element("table", { class: "table" },
      caption && element("caption", { class: "only-read" }, caption), head, body);
    draw();
    return element(
      "div",
      { class: "stack" },
      field && element("div", { class: "row" }, field, status),
      element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption || "table" }, table),
      element("div", { class: "row" }, more, !field && status)
    );
  };
})();
