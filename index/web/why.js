"use strict";
/* Why a photo and a reference are alike, place by place, and what speaks for the best rival.

   Fieldmark.why  -> {element, title, show(id, label)}: the photo that is asked about beside a reference.
       Their similarity is a sum over pairs of places. A place that is pointed at in one photo lights what answers to it in the
       other; otherwise each photo is lit by what its places add. */

(() => {
  const { element, service, number, percent, short } = Fieldmark;
  const EXACT = "Exact: the similarity is the sum of what all pairs of places add.";
  const APPROXIMATE = {
    photo: "Approximate: this embedder joins places in a way that is no plain sum, so they say about where the similarity comes from.",
    thumbnail: "Approximate: the reference's photo is not at hand, so its small picture in the index was looked at.",
    none: "Of this reference nothing but its vector is at hand, so only your photo can be lit.",
  };

  const press = (text, pressed, then) =>
    element("button", { class: "button", type: "button", "aria-pressed": String(pressed), on: { click: then } }, text);
  const positive = (values) => values.map((value) => Math.max(0, value));

  /* An explanation with its grids as flat lists, and with what each grid divides as shares of its photo's sides. Of a
     reference that nobody has a picture of, there is no grid. */
  function read(told) {
    const side = (one) => one.shares && { ...one, region: divided(one), shares: one.shares.flat(), parts: one.parts && one.parts.map((part) => part.flat()) };
    return { ...told, label: told.reference.label, query: side(told.query), reference: side(told.reference), pairs: told.pairs && told.pairs.flat(Infinity) };
  }

  function divided({ square: [left, top, right, bottom], region: [x, y, side] }) {
    const [wide, high] = [right - left, bottom - top];
    return [left + x * wide, top + y * high, left + (x + side) * wide, top + (y + side) * high];
  }

  /* What of the other photo answers to a place of this one. */
  function answering({ pairs, query, reference }, ofQuery, place) {
    const [mine, other] = [query.height * query.width, reference.height * reference.width];
    return ofQuery ? pairs.slice(place * other, (place + 1) * other) : Array.from({ length: mine }, (_, at) => pairs[at * other + place]);
  }

  const sum = (values) => values.reduce((all, value) => all + value, 0);
  const strongest = (values) => values.indexOf(Math.max(...values));

  /* Where a place is, as a person says it. */
  function where(place, { width, height }) {
    const third = (at, most, names) => names[Math.min(2, Math.floor((3 * (at + 0.5)) / most))];
    const down = third(Math.floor(place / width), height, ["top", "middle", "bottom"]);
    const across = third(place % width, width, ["left", "middle", "right"]);
    return down === across ? "the middle" : `the ${down} ${across}`;
  }

  function image(address) {
    return new Promise((resolve) => {
      const made = new Image();
      made.addEventListener("load", () => resolve(made));
      made.addEventListener("error", () => resolve(null));
      made.src = address;
    });
  }

  /* Where there is no photo to be shown, its places still have somewhere to be. */
  const blank = { width: 1, height: 1, draw: (pen, wide, high) => { pen.fillStyle = "#6d7671"; pen.fillRect(0, 0, wide, high); } };

  class Why {
    constructor() {
      Object.assign(this, { title: "Why", photo: 0 });
      this.heading = element("h1", { tabindex: "-1" }, "Why?");
      this.lead = element("div", { class: "stack tight" });
      this.body = element("div", { class: "stack", "aria-live": "off" });
      this.rival = element("div");
      this.element = element("div", { class: "view why" },
        element("div", { class: "masthead" }, element("a", { href: "#/" }, "← Back to the answer"), this.heading, this.lead), this.body, this.rival);
    }

    async show(id, label) {
      if (this.asking) this.asking.abort();
      const asking = (this.asking = new AbortController());
      if (this.id !== id) this.photo = 0;
      Object.assign(this, { id, label });
      for (const place of [this.lead, this.body, this.rival]) place.replaceChildren();
      this.heading.textContent = label ? `Why ${short(label, 80)}?` : "Why?";
      if (!Fieldmark.ask.photos().length || !id) {
        this.body.replaceChildren(element("p", null, "An explanation is of a photo, and none is asked about. ", element("a", { href: "#/" }, "Ask about one")));
        return;
      }
      this.body.replaceChildren(Fieldmark.busy("Comparing place by place …"));
      try {
        const told = await this.explained(id, this.label, asking.signal);
        this.pictures = [await this.mine(), await image(`/images/${encodeURIComponent(id)}`)];
        if (asking === this.asking) this.draw(told);
        await this.compare(told, asking);
      } catch (error) {
        if (!Fieldmark.gone(error) && asking === this.asking) this.failed(error);
      }
    }

    failed(error) {
      const again = element("button", { class: "button", type: "button", on: { click: () => this.show(this.id, this.label) } }, "Try again");
      this.body.replaceChildren(Fieldmark.said(error), element("div", { class: "row" }, again));
    }

    async explained(id, label, signal) {
      const box = Fieldmark.ask.box();
      const values = { photo: Fieldmark.ask.photos()[this.photo].file, reference: id, label, box: box && box.join(",") };
      return read(await service.send("/explain", values, { signal }));
    }

    async mine() {
      const taken = Fieldmark.ask.photos()[this.photo];
      return (await taken.ready) ? taken.picture : null;
    }

    picture(place) {
      const found = this.pictures[place];
      return found ? Fieldmark.pictureOf(found, place === 0 ? Fieldmark.ask.box() : null) : blank;
    }

    draw(told) {
      this.lead.replaceChildren(element("p", { class: "lead" }, "Your photo and this reference have a similarity of ",
        element("strong", null, number(told.similarity)), "."), element("p", { class: "small faint" }, told.exact ? EXACT : APPROXIMATE[told.reference_seen]));
      this.heading.textContent = `Why ${short(told.label, 80)}?`;
      this.label = told.label;
      const grids = [told.query, told.reference].filter(Boolean);
      const names = ["Your photo", `Reference: ${short(this.label, 60)}`];
      this.readout = element("p", { class: "readout-line", role: "status" });
      this.sides = grids.map((grid, place) => Fieldmark.places({ name: names[place], picture: this.picture(place), height: grid.height,
        width: grid.width, region: grid.region, onPoint: told.pairs && ((at) => this.point(told, place, at)) }));
      const figures = this.sides.map((side, place) => element("figure", null, side.element, element("figcaption", null, names[place],
        !this.pictures[place] && element("span", { class: "small faint" }, " cannot be shown"))));
      this.body.replaceChildren(...[this.choices(), this.parts(told), this.readout, element("div", { class: "sides" }, figures)].filter(Boolean));
      this.rest(told);
    }

    /* Several photos of one subject: which of them is compared. */
    choices() {
      const photos = Fieldmark.ask.photos();
      if (photos.length < 2) return null;
      return element("div", { class: "row", role: "group", "aria-label": "Which of your photos" }, photos.map((one, place) =>
        press(`Photo ${place + 1}`, place === this.photo, () => { this.photo = place; this.show(this.id, this.label); })));
    }

    parts(told) {
      if (!told.query.parts || !told.reference) return null;
      const show = (part) => {
        this.part = part;
        buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === part + 1)));
        this.rest(told);
      };
      this.part = -1;
      const buttons = ["All places", ...told.query.parts.map((_, part) => `Part ${part + 1}`)].map((text, place) => press(text, place === 0, () => show(place - 1)));
      return element("div", { class: "row", role: "group", "aria-label": "Light by" }, buttons);
    }

    /* Nothing is pointed at. */
    rest(told) {
      const part = this.part >= 0;
      [told.query, told.reference].filter(Boolean).forEach((grid, place) => {
        this.sides[place].light(positive(part && grid.parts ? grid.parts[this.part] : grid.shares));
        this.sides[place].ring(-1);
      });
      this.readout.textContent = part
        ? `Lit is where the embedder sees its part ${this.part + 1}, a region that it has found by itself.`
        : `Lit is what makes them alike.${told.pairs ? " Point at a place in one photo, and what answers to it in the other lights up." : ""}`;
    }

    point(told, place, at) {
      const other = 1 - place;
      this.sides[other].point(-1, false);
      if (at < 0) return this.rest(told);
      const grids = [told.query, told.reference];
      const values = answering(told, place === 0, at);
      const best = strongest(values);
      this.sides[place].light(null);
      this.sides[other].light(positive(values));
      this.sides[other].ring(best);
      const share = grids[place].shares[at] / told.similarity;
      const names = [["your photo", "the reference"], ["the reference", "your photo"]][place];
      this.readout.textContent = `This place at ${where(at, grids[place])} of ${names[0]} adds ${percent(share)} of the similarity. `
        + `Most answers to it at ${where(best, grids[other])} of ${names[1]}.`;
    }

    /* The best reference of another label than the one that is explained. */
    async other(signal) {
      const among = (answer) => answer.neighbours.find((one) => one.label !== this.label && !one.same_photo);
      const answer = Fieldmark.ask.answer();
      if (answer && among(answer)) return among(answer);
      const values = { photo: Fieldmark.ask.photos()[this.photo].file, k: Fieldmark.ask.info ? Fieldmark.ask.info.service.neighbours : 50 };
      const told = await service.send("/search", values, { signal });
      return told.answers[0].error ? undefined : among(told.answers[0]);
    }

    async compare(told, asking) {
      this.rival.replaceChildren(Fieldmark.busy("Looking at the best rival …"));
      const other = await this.other(asking.signal);
      if (!other || other.id === this.id) return this.rival.replaceChildren();
      const against = await this.explained(other.id, other.label, asking.signal);
      const theirs = await image(`/images/${encodeURIComponent(other.id)}`);
      if (asking !== this.asking) return;
      const [here, there] = [told.query.shares, against.query.shares];
      const sides = [
        { label: this.label, id: this.id, similarity: told.similarity, picture: this.pictures[1], shares: here.map((value, at) => value - there[at]) },
        { label: other.label, id: other.id, similarity: against.similarity, picture: theirs, shares: here.map((value, at) => there[at] - value) },
      ];
      const most = Math.max(...sides.flatMap((side) => side.shares), 1e-12);
      const gap = told.similarity - against.similarity;
      const lead = `The nearest reference of another label is of ${short(other.label, 60)}, ${number(Math.abs(gap))} ${gap < 0 ? "more" : "less"} similar. `
        + "Lit is where your photo is more like the one than like the other.";
      this.rival.replaceChildren(Fieldmark.section("rival", "What speaks for each", lead,
        element("div", { class: "two" }, sides.map((side) => this.side(side, told.query, most)))));
    }

    side({ label, id, similarity, picture, shares }, grid, most) {
      const mine = Fieldmark.places({ name: `Your photo, lit where it speaks for ${short(label, 60)}`, picture: this.picture(0), height: grid.height, width: grid.width, region: grid.region });
      mine.light(positive(shares), most);
      const reference = picture ? { src: picture.src } : Fieldmark.referencePhoto(id);
      return element("div", { class: "card stack" }, element("h3", { title: label }, `For ${short(label, 60)}`),
        element("div", { class: "for" }, mine.element, Fieldmark.photo(reference, `Reference of ${short(label, 60)}`)),
        element("div", { class: "row" }, element("span", { class: "small faint" }, `Similarity ${number(similarity)}; the lit places speak for it with ${number(sum(positive(shares)))}`),
          id !== this.id && element("a", { href: Fieldmark.link("why", id, label) }, "Compare place by place")));
    }
  }

  Fieldmark.why = new Why();
})();
