"use strict";
/* The page of `eval.compare --report`: everything in it comes from the JSON block `data` (eval/compare_page.py says what). */

(() => {
  const { element, count, number, percent, plural, section, breakable } = Fieldmark;
  const data = Fieldmark.content("data");
  const [first, second] = data.names;
  const signed = (value) => (value > 0 ? "+" : "") + percent(value);
  const labelOf = (n) => data.shown[n].label ?? "no label";
  const nameOf = (n) => data.shown[n].name;
  const photo = (n) => (data.pictures[n] ? { src: `data:image/jpeg;base64,${data.pictures[n]}` } : { absent: nameOf(n) });
  const missing = Object.keys(data.shown).filter((n) => !data.pictures[n]).length;

  function masthead() {
    return element("header", { class: "masthead" },
      element("p", { class: "kicker" }, "Which embedder is better?"),
      element("h1", null, breakable(first), element("span", { class: "faint" }, " and "), breakable(second)),
      element("p", { class: "lead" }, `${plural(data.queries, "query", "queries")}, each searching the other photos by both; ${count(data.left_out)} left out`),
      element("p", { class: "small faint" }, `embedders ${data.fingerprints.map((one) => one.slice(0, 12)).join(" and ")}`));
  }

  function honesty() {
    const notice = data.warnings.length
      ? Fieldmark.notice("warns", "Before you believe the numbers", data.warnings)
      : Fieldmark.notice("good", "Nothing was found that flatters either", ["Looked for: copies among the photos, photos and classes that were trained on."]);
    return section("honesty", "What to know first", null, notice);
  }

  function verdict([name, , , mean, low, high]) {
    if (low === null) return `By ${name} no query differs.`;
    if (low > 0) return `${second} is better by ${name}: ${signed(mean)}, and the interval is above 0.`;
    if (high < 0) return `${first} is better by ${name}: ${signed(-mean)}, and the interval of the difference is below 0.`;
    return `By ${name} neither is shown to be better: the interval of the difference holds 0.`;
  }

  function numbers() {
    const interval = ([low, high]) => element("span", { class: "number" }, low === null ? "no query differs" : `${signed(low)} to ${signed(high)}`);
    const columns = [{ title: "metric" }, { title: first, kind: "share" }, { title: second, kind: "share" },
      { title: "difference", kind: "signed" }, { title: "95\u202f% interval", kind: "node", node: interval }];
    const rows = data.metrics.map(([name, one, two, mean, ...ends]) => [name, one, two, mean, ends]);
    const main = data.metrics.find(([name]) => name === "MAP@R") || data.metrics[0];
    const cards = [["right by both", data.both], [`right by ${second} alone`, data.won_names.length, "right"],
      [`right by ${first} alone`, data.lost_names.length, "wrong"], ["wrong by both", data.neither]];
    return section("numbers", "The numbers", `Paired, query by query; a difference is ${second} less ${first}, in percentage points. Its 95\u202f% interval is over other classes like these. It says nothing of another training by the same recipe: several seeds would.`,
      element("div", { class: "card" }, element("p", null, verdict(main))),
      element("div", { class: "cards" }, cards.map(([text, value, tone]) => element("div", { class: "card headline" },
        element("h3", { class: "name" }, breakable(text)), element("span", { class: `number is-${tone}` }, count(value)),
        element("span", { class: "ends" }, `${percent(value / data.queries)} of the queries`)))),
      Fieldmark.table({ caption: "Metrics of both", columns, rows }));
  }

  function classes() {
    return section("classes", "Class by class", "recall@1 of each; where they differ most stands first.",
      Fieldmark.table({
        caption: "recall@1 of each class", filter: "Find a class", most: 15,
        rows: [...data.classes].sort((a, b) => Math.abs(b[4]) - Math.abs(a[4])).map(([name, queries, ...shares]) => [name, ...shares, queries]),
        columns: [{ title: "class" }, { title: first, kind: "share" }, { title: second, kind: "share" }, { title: "difference", kind: "signed" }, { title: "queries", kind: "count" }],
      }));
  }

  function side(name, near) {
    const tiles = near.map(([n, similarity, right], rank) => ({
      photo: photo(n), alt: `${labelOf(n)}, ${nameOf(n)}`, caption: labelOf(n), note: `similarity ${number(similarity)}`, rank: rank + 1, frame: right ? "right" : "wrong",
    }));
    return element("div", { class: "stack" }, element("h4", { class: "small faint" }, breakable(name)), Fieldmark.tiles(tiles, `nearest by ${name}`));
  }

  function flip({ query, first: one, second: two }) {
    return element("article", { class: "card flip" },
      element("div", { class: "asked" },
        element("div", { class: "tile bare" }, Fieldmark.photo(photo(query), `query, ${nameOf(query)}`)),
        element("h3", null, breakable(labelOf(query))), element("span", { class: "small faint" }, breakable(nameOf(query)))),
      side(first, one), side(second, two));
  }

  function flips(id, heading, lead, some, names) {
    const rest = names.length > some.length ? ` Shown are the ${some.length} whose MAP@R differs most.` : "";
    const list = element("details", { class: "more" }, element("summary", null, `All ${count(names.length)} by name`),
      Fieldmark.table({ caption: heading, filter: "Find a photo", columns: [{ title: "photo" }], rows: names.map((name) => [name]) }));
    return section(id, `${heading}: ${count(names.length)}`, lead + rest, element("div", { class: "stack" }, some.map(flip)), names.length > 0 && list);
  }

  const gone = missing > 0 && Fieldmark.notice("", `${plural(missing, "photo")} could not be shown`, ["They have been moved or changed since they were embedded; grey tiles with their names stand for them."]);
  const parts = [honesty(), numbers(), classes(),
    flips("won", "Won", `Right by ${second}, wrong by ${first}.`, data.won, data.won_names),
    flips("lost", "Lost", `Right by ${first}, wrong by ${second}.`, data.lost, data.lost_names)];
  const links = parts.map((part) => element("li", null, element("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
  document.getElementById("content").append(
    element("div", { class: "bar" }, Fieldmark.brand(), Fieldmark.themeSwitch()),
    masthead(),
    element("nav", { class: "contents", "aria-label": "Sections" }, element("ul", null, links)),
    ...(gone ? [element("div", { class: "section" }, gone)] : []),
    ...parts,
    element("footer", { class: "foot" }, element("p", null, "Made by Fieldmark: python -m eval.compare --report. Everything is in this one file."))
  );
})();
