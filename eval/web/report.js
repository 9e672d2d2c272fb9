"use strict";
/* The page of `eval.recall --report`: everything in it comes from the JSON block `data` (eval/report.py says what). */

(() => {
  const { element, count, number, percent, plural, section } = Fieldmark;
  const data = Fieldmark.content("data");
  const MEANINGS = {
    "recall@1": "of the queries have a photo of their own class as the nearest",
    "MAP@R": "how well the nearest are in order: right ones first count most",
    "R-precision": "of as many nearest as the class has photos are of the class",
  };
  const FACTS = {
    "left out": "left out: no label, or no other of their class",
    "unlabelled references": "references without a label, not searched in",
    "same photo": "queries that are themselves among the references",
    "similar vector": "queries with a near copy, by the vector",
    "similar picture": "queries with a near copy, by the picture",
    "copies among references": "references that have a copy among the others",
    "repeated rows": "rows that are there twice",
    "trained on": "queries that the embedder was trained on",
    "class trained on": "queries of classes that it was trained on",
    "unreadable photos": "photos that could not be read",
  };
  const itself = data.photos.length === 1;
  const references = itself ? "photo" : "reference";

  /* Photos: large ones where they are shown as evidence, small ones on the map. */

  const className = (code) => (code < 0 ? "no label" : data.class_names[code]);
  const large = new Map(Object.entries(data.pictures).map(([key, picture]) => [Number(key), `data:image/jpeg;base64,${picture}`]));
  const nameOf = (n) => data.shown[n].name;
  const labelOf = (n) => className(data.shown[n].code);
  const photo = (n) => (large.has(n) ? { src: large.get(n) } : { absent: nameOf(n) });
  const short = (n) => nameOf(n).split("/").pop();
  const onScreen = (text) => element("span", { class: "on-screen" }, text);
  const alike = (similarity) => `similarity ${number(similarity)}`;

  const points = data.points;
  const unpack = (kind, name) => Fieldmark.typed(points[name], kind);
  const codes = unpack("Int32", "codes");

  function tile([n, similarity, right], rank) {
    return { photo: photo(n), alt: `${labelOf(n)}, ${nameOf(n)}`, caption: labelOf(n), note: alike(similarity), rank, frame: right ? "right" : "wrong" };
  }

  /* What must be known, and the numbers. */

  function masthead() {
    const sides = itself
      ? `${plural(data.photos[0], "photo")} of ${plural(data.classes, "class", "classes")}, each searching the others`
      : `${plural(data.photos[0], "query", "queries")} of ${plural(data.classes, "class", "classes")}, searching ${plural(data.photos[1], "reference")}`;
    return element("header", { class: "masthead" },
      element("p", { class: "kicker" }, "How good is this embedder?"),
      element("h1", null, Fieldmark.breakable(data.name)),
      element("p", { class: "lead" }, sides),
      element("p", { class: "small faint" }, `embedder ${data.fingerprint.slice(0, 12)}, ${plural(data.dimension, "dimension")}`, data.rerank && `; ${data.rerank}: the numbers are of that order, and photos are shown by similarity`));
  }

  function first() {
    const notice = data.warnings.length
      ? Fieldmark.notice("warns", "Before you believe the numbers", data.warnings)
      : Fieldmark.notice("good", "Nothing was found that flatters the numbers", ["Looked for: copies among the photos, photos and classes that were trained on, too few classes."]);
    const facts = data.counts.map(([name, value]) => [FACTS[name] || name, value === null ? "unknown" : typeof value === "number" ? count(value) : value]);
    return section("honesty", "What to know first", null, notice, Fieldmark.facts(facts));
  }

  function headline() {
    const order = Object.keys(MEANINGS);
    const cards = data.metrics.filter((one) => one.headline).sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    const rows = data.metrics.map((one) => [one.name, one.mean, one.low, one.high, one.macro]);
    const heads = ["mean", "low", "high", "over classes"].map((title) => ({ title, kind: "number", digits: 4 }));
    return section("numbers", "The numbers", "Means over all queries, with 95\u202f% intervals over other classes like these.",
      element("div", { class: "cards" }, cards.map((one) =>
        element("div", { class: "card headline" },
          element("h3", { class: "name" }, one.name),
          element("span", { class: "number" }, percent(one.mean)),
          Fieldmark.scale(one),
          element("span", { class: "ends" }, `${percent(one.low)} to ${percent(one.high)}`),
          element("p", { class: "small faint" }, MEANINGS[one.name])))),
      element("details", { class: "more" }, element("summary", null, "All metrics"),
        Fieldmark.table({ caption: "All metrics", columns: [{ title: "metric" }, ...heads], rows })));
  }

  function curves() {
    const ks = data.recall.map(([k]) => k);
    const parts = [];
    if (ks.length > 1)
      parts.push(Fieldmark.curves({
        title: "recall@k", lead: "How often at least one of the k nearest is of the right class. The band is the 95\u202f% interval.", height: 280,
        x: { label: "k nearest", from: ks[0], to: ks[ks.length - 1], log: true, ticks: ks },
        y: { label: "recall", from: Math.floor(data.recall[0][2] * 10) / 10, to: 1, format: (value) => percent(value, 0) },
        series: [{ name: "recall", points: data.recall.map(([k, mean]) => [k, mean]), low: data.recall.map((one) => one[2]), high: data.recall.map((one) => one[3]), dots: true }],
      }));
    const s = data.separation;
    if (s) {
      const most = Math.max(...s.same, ...s.other);
      const rule = s.threshold === null ? [] : [{ at: s.threshold, label: `threshold ${number(s.threshold, 2)}${s.estimated ? " (estimate)" : ""}` }];
      const promise = s.threshold === null
        ? "There are too few classes for a threshold of unknown."
        : s.estimated
          ? `Above the threshold, an estimate from ${plural(data.classes, "class", "classes")}, about ${percent(s.false_accepts, 0)} of photos of new classes are expected, and ${percent(s.known_accepted)} of these queries.`
          : `Above the threshold at most ${percent(s.false_accepts, 0)} of photos of new classes are expected, and ${percent(s.known_accepted)} of these queries.`;
      parts.push(Fieldmark.histogram({
        title: "Similarity to the nearest", lead: `Where the two overlap, photos of other classes look as near as those of the own class. ${promise}`, height: 280,
        x: { label: "similarity (cosine)", from: s.edges[0], to: s.edges[s.edges.length - 1] },
        y: { label: "share of queries", from: 0, to: most * 1.08 || 1, format: (value) => percent(value, most < 0.1 ? 1 : 0) },
        edges: s.edges, rules: rule,
        series: [{ name: "of the own class", values: s.same, tone: "right" }, { name: "of another class", values: s.other, tone: "wrong" }],
      }));
      const at = s.threshold === null ? [] : [{ x: s.unknown_accepted, y: s.known_accepted, label: "at the threshold" }];
      parts.push(Fieldmark.curves({
        title: "Known or unknown", lead: `How many photos of known classes are accepted while as many of unknown ones slip in. Area under the curve ${number(s.auroc)}; where 95\u202f% of the known are accepted, ${percent(s["fpr@95"])} of the unknown are too.`, height: 280,
        x: { label: "unknown accepted", from: 0, to: 1, format: (value) => percent(value, 0) },
        y: { label: "known accepted", from: 0, to: 1, format: (value) => percent(value, 0) },
        series: [{ name: "known accepted", points: s.curve }], rules: at, diagonal: true,
      }));
    }
    const cards = parts.map((part) => element("div", { class: "card" }, part));
    return cards.length && section("curves", "Curves", null, element("div", { class: "three" }, cards));
  }

  function classes() {
    const { metrics, rows } = data.by_class;
    return section("classes", "Class by class", ["The worst first", onScreen("; click a heading for another order"), "."],
      Fieldmark.table({
        caption: "Metrics of each class", filter: "Find a class", sort: { column: 1, descending: false }, most: 15,
        rows: rows.map(([label, queries, ...values]) => [label, ...values.slice(0, -1), queries, values.at(-1)]),
        columns: [{ title: "class" }, ...metrics.map((title) => ({ title, kind: "share" })), { title: "queries", kind: "count" }, { title: "most often taken for" }],
      }));
  }

  /* The evidence. */

  function confused() {
    if (!data.confusions.length) return null;
    const mistake = ([query, reference, similarity]) =>
      Fieldmark.tiles([
        { photo: photo(query), alt: nameOf(query), caption: labelOf(query), note: short(query), frame: "other" },
        { photo: photo(reference), alt: nameOf(reference), caption: labelOf(reference), note: alike(similarity), frame: "wrong" },
      ], `${labelOf(query)} taken for ${labelOf(reference)}`);
    const card = (pair) => {
      const several = pair.forth + pair.back;
      return element("article", { class: "card stack pair" },
        element("h3", null, Fieldmark.breakable(pair.first), element("span", { class: "faint" }, " and "), Fieldmark.breakable(pair.second)),
        element("p", { class: "small faint" }, `${plural(several, "query", "queries")} of ${count(pair.queries)} (${percent(several / pair.queries)}) taken for the other: ${pair.forth} of the first, ${pair.back} of the second`),
        element("div", { class: "mistakes" }, pair.mistakes.map(mistake)));
    };
    return section("confusions", "Taken for each other", "The pairs of classes with the most mistakes. At the left of each pair of photos stands the query, at the right what it is nearest to.",
      element("div", { class: "two" }, data.confusions.map(card)));
  }

  function evidence(query) {
    const n = query.query;
    return element("div", { class: "card" }, Fieldmark.evidence({
      photo: photo(n), alt: `query, ${nameOf(n)}`, title: labelOf(n), subtitle: `${short(n)}, MAP@R ${percent(query.score)}`,
      label: "nearest, in order", tiles: query.near.map((one, rank) => tile(one, rank + 1)),
    }));
  }

  function queries() {
    const order = "at most one of a class";
    const best = data.best.length > 0 && element("details", { class: "more" }, element("summary", null, `The best ${data.best.length}`), element("div", { class: "stack" }, data.best.map(evidence)));
    return section("queries", "The worst queries", `The lowest MAP@R with the most similar neighbours, ${order}: here the embedder is sure and wrong, or a label is.`,
      data.worst.length ? element("div", { class: "stack" }, data.worst.map(evidence)) : element("p", null, "Every query finds all of its class first."), best);
  }

  function hubs() {
    const { photos, k, usual, never } = data.hubs;
    const tiles = photos.map(([n, times, rights]) => ({
      photo: photo(n), alt: nameOf(n), caption: labelOf(n), note: `among the nearest of ${count(times)}, right for ${count(rights)}`, frame: "other",
    }));
    const lead = `A ${references} is usually among the ${k} nearest of ${number(usual, 1)} queries. Hubs are among those of many more; ${plural(never, references)} ${never === 1 ? "is" : "are"} among those of none.`;
    return section("hubs", "Hubs", lead, tiles.length ? element("div", { class: "card" }, Fieldmark.tiles(tiles, "Hubs")) : element("p", null, "There are none."));
  }

  function copies() {
    const found = data.copies;
    const pair = ([query, reference, similarity, differ]) =>
      element("div", { class: "card stack" }, Fieldmark.tiles([query, reference].map((n) => ({
        photo: photo(n), alt: nameOf(n), caption: labelOf(n), note: short(n), frame: differ ? "wrong" : "other",
      })), "near copies"), element("p", { class: "small faint" }, alike(similarity), differ && ", under two labels"));
    const lead = found.count
      ? `${plural(found.count, "pair")} of photos look the same or have a cosine of 0.995 or more, ${count(found.differ)} of them under two labels. Each makes its query too easy.`
      : "No two photos look the same, or have a cosine of 0.995 or more.";
    return section("copies", "Near copies", lead, found.pairs.length > 0 && element("div", { class: "cards pairs" }, found.pairs.map(pair)));
  }

  /* The map, and what is nearest to a photo on it. */

  function map() {
    const { sheets } = data;
    const places = Fieldmark.typed(sheets.places, "Int32");
    const addresses = sheets.pictures.map((picture) => Fieldmark.blob(picture, sheets.kind));
    const sprites = addresses.length ? new Fieldmark.Sheets({ ...sheets, addresses }) : null;
    const small = (i) => {
      const n = points.numbers ? points.numbers[i] : i;
      if (large.has(n)) return { src: large.get(n) };
      return sprites && places[i] >= 0 ? sprites.photo(places[i]) : { absent: points.names[i] };
    };
    const side = (i) => (points.first !== null && i >= points.first ? "reference, " : "");
    const about = (i) => ({ title: className(codes[i]), note: `${side(i)}${points.names[i]}`, photo: small(i), alt: points.names[i] });
    const [beside, similarities] = [unpack("Int32", "beside"), unpack("Float32", "similarities")];
    const columns = points.columns;
    const below = element("div", { hidden: true, class: "card", "aria-live": "polite" });
    const onPin = (i) => {
      below.hidden = i < 0;
      if (i < 0) return;
      const tiles = [];
      for (let rank = 0; rank < columns; rank++) {
        const other = beside[i * columns + rank];
        if (other < 0) continue;
        tiles.push({ photo: small(other), alt: points.names[other], caption: className(codes[other]), note: alike(similarities[i * columns + rank]),
          rank: rank + 1, frame: codes[i] < 0 ? "other" : codes[other] === codes[i] ? "right" : "wrong", onSelect: () => made.pin(other) });
      }
      below.replaceChildren(Fieldmark.evidence({ photo: small(i), alt: points.names[i], title: className(codes[i]), subtitle: `${side(i)}${points.names[i]}`, tiles, label: "its nearest" }));
    };
    const made = Fieldmark.map({ label: `Map of ${plural(codes.length, "photo")}`, x: unpack("Float32", "x"), y: unpack("Float32", "y"), codes, names: data.class_names, about, sheets: sprites, places, onPin });
    const some = codes.length < points.of ? ` Of ${count(points.of)} photos it has ${count(codes.length)}, evenly drawn.` : "";
    const pictured = sheets.asked < codes.length ? ` ${count(sheets.asked)} of the points have a small photo, so that this file stays small.` : "";
    return section("map", "The map", [`UMAP of the embedding space: photos beside each other look alike to the embedder; distances and gaps mean little.`, onScreen(" Click a point for its nearest, zoom in for photos."), some, onScreen(pictured)], made.element, below);
  }

  /* All together. */

  const missing = data.missing > 0 && Fieldmark.notice("", `${plural(data.missing, "photo")} of ${count(data.asked)} could not be shown`, ["They have been moved or changed since they were embedded; grey tiles with their names stand for them."]);
  const parts = [first(), headline(), curves(), classes(), confused(), queries(), map(), hubs(), copies()].filter(Boolean);
  const links = parts.map((part) => element("li", null, element("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
  document.getElementById("content").append(
    element("div", { class: "bar" }, Fieldmark.brand(), Fieldmark.themeSwitch()),
    masthead(),
    element("nav", { class: "contents", "aria-label": "Sections" }, element("ul", null, links)),
    ...(missing ? [element("div", { class: "section" }, missing)] : []),
    ...parts,
    element("footer", { class: "foot" }, element("p", null, "Made by Fieldmark: python -m eval.recall --report. Everything is in this one file."))
  );
})();
