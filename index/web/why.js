"use strict";
/* Why a photo and a reference are alike, place by place, and what speaks for the best rival.

   Fieldmark.why  -> {element, title, show(id, label)}: the photo that is asked about beside a reference.
       Their similarity is a sum over pairs of places. A place that is pointed at in one photo lights what answers to
       it in the other; otherwise each photo is lit by what its places add. */

(() => {
  const { element, number, percent, short } = Fieldmark;
  const EXACT = "Exact: the similarity is the sum of what all pairs of places add.";
  const POINT = "Point at a place in one photo, and what answers to it in the other lights up.";
  const APPROXIMATE = {
    photo: "Approximate: this embedder joins places in a way that is no plain sum. They say about where it comes from.",
    thumbnail: "Approximate: the reference's photo is not at hand, so its small picture in the index was looked at.",
    none: "Of this reference nothing but its vector is at hand, so only your photo can be lit.",
  };
  const FRAME = "The network looks at what is inside the frame.";
  const PEEP = 30; // pixels of the tile before, which say that there is one
  const GONE = "The index has changed since your photo was asked about: this reference is no longer in it.";

  const { positive, strongest, answering, where, image } = Fieldmark.explained;
  const press = (text, pressed, then) =>
    element("button", { class: "button", type: "button", "aria-pressed": String(pressed), on: { click: then } }, text);
  /* Where there is no photo to be shown, its places still have somewhere to be. */
  const blank = {
    width: 1,
    height: 1,
    draw: (pen, wide, high) => {
      pen.fillStyle = "#6d7671";
      pen.fillRect(0, 0, wide, high);
    },
  };

  class Why {
    constructor() {
      Object.assign(this, { title: "Why", chosen: null });
      this.heading = element("h1", { tabindex: "-1" }, "Why?");
      this.lead = element("div", { class: "stack tight" });
      this.body = element("div", { class: "stack", "aria-live": "off" });
      this.rival = element("div");
      this.element = element(
        "div",
        { class: "view why" },
        element(
          "div",
          { class: "masthead" },
          (this.back = element("a", { href: "#/" }, "← Back to the answer")),
          this.heading,
          this.lead
        ),
        this.body,
        this.rival
      );
    }

    async show(id, label) {
      if (this.asking) this.asking.abort();
      const asking = (this.asking = new AbortController());
      if (this.id !== id) this.chosen = null;
      Object.assign(this, { id, label });
      for (const place of [this.lead, this.body, this.rival]) place.replaceChildren();
      this.heading.replaceChildren(...Fieldmark.breakable(label ? `Why ${short(label, 80)}?` : "Why?"));
      this.back.hidden = !Fieldmark.ask.photos().length;
      if (!Fieldmark.ask.photos().length || !id) {
        this.body.replaceChildren(
          element(
            "p",
            null,
            "An explanation is of a photo, and none is asked about. ",
            element("a", { href: "#/" }, "Ask about one")
          )
        );
        return;
      }
      this.body.replaceChildren(Fieldmark.busy("Comparing place by place …"));
      try {
        const asked = { photo: this.photo(), box: Fieldmark.ask.box(), signal: asking.signal };
        const told = await Fieldmark.explained.ask({ ...asked, id, label });
        this.pictures = [await this.mine(), await image(`/images/${encodeURIComponent(id)}`)];
        if (asking !== this.asking) return;
        this.box = asked.box;
        this.draw(told);
        this.rival.replaceChildren(Fieldmark.rival({ ...asked, told, picture: this.picture(0) }));
      } catch (error) {
        if (!Fieldmark.gone(error) && asking === this.asking) this.failed(error);
      }
    }

    failed(error) {
      const button = (text, then) => element("button", { class: "button", type: "button", on: { click: then } }, text);
      const gone = error.status === 404;
      const again = gone
        ? button("Ask again", () => {
            location.hash = "#/";
            Fieldmark.ask.again();
          })
        : button("Try again", () => this.show(this.id, this.label));
      const told = gone ? new Fieldmark.Refused(GONE) : error;
      this.body.replaceChildren(Fieldmark.said(told), element("div", { class: "row" }, again));
    }

    /* The photo that was chosen, as long as it is asked about. */
    photo() {
      const photos = Fieldmark.ask.photos();
      return photos.includes(this.chosen) ? this.chosen : photos[0];
    }

    async mine() {
      const taken = this.photo();
      return (await taken.ready) ? taken.picture : null;
    }

    picture(place) {
      const found = this.pictures[place];
      return found ? Fieldmark.pictureOf(found, place === 0 ? this.box : null) : blank;
    }

    draw(told) {
      this.lead.replaceChildren(
        element(
          "p",
          { class: "lead" },
          "Your photo and this reference have a similarity of ",
          element("strong", null, number(told.similarity)),
          "."
        ),
        (this.how = element("p", { class: "small faint" }, told.exact ? EXACT : APPROXIMATE[told.reference_seen]))
      );
      this.heading.replaceChildren(...Fieldmark.breakable(`Why ${short(told.label, 80)}?`));
      this.label = told.label;
      const grids = [told.query, told.reference].filter(Boolean);
      const names = ["Your photo", `Reference: ${short(this.label, 60)}`];
      this.readout = element("p", { class: "readout-line", role: "status" });
      this.sides = grids.map((grid, place) =>
        Fieldmark.places({
          name: names[place],
          picture: this.picture(place),
          height: grid.height,
          width: grid.width,
          region: grid.region,
          onPoint: told.pairs && ((at) => this.point(told, place, at)),
        })
      );
      if (this.sides.some((side) => side.framed)) this.how.append(` ${FRAME}`);
      const figures = this.sides.map((side, place) =>
        element(
          "figure",
          null,
          side.element,
          element(
            "figcaption",
            null,
            Fieldmark.breakable(names[place]),
            !this.pictures[place] && element("span", { class: "small faint" }, " cannot be shown")
          )
        )
      );
      const shown = [
        this.choices(),
        this.parts(told),
        this.readout,
        element("div", { class: "sides" }, figures),
        this.others(),
      ];
      this.body.replaceChildren(...shown.filter(Boolean));
      this.follow();
      this.rest(told);
    }

    /* Of the neighbours the one that is compared is seen, and is where one was if it was chosen there. */
    follow() {
      const here = this.body.querySelector(".others .same");
      if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - PEEP;
      if (here && this.following) here.querySelector("button").focus({ preventScroll: true });
      this.following = false;
    }

    /* The other neighbours, to go on from one to the next. */
    others() {
      const answer = Fieldmark.ask.answer();
      if (!answer || !answer.neighbours) return null;
      return element(
        "nav",
        { class: "others stack", "aria-labelledby": "others" },
        element("h2", { id: "others" }, "The nearest references"),
        Fieldmark.tiles(
          answer.neighbours.map((one) => ({
            photo: Fieldmark.referencePhoto(one.id),
            alt: `Reference ${one.rank}, ${short(one.label, 60)}`,
            caption: short(one.label, 60),
            note: `similarity ${number(one.similarity)}`,
            rank: one.rank,
            frame: one.id === this.id ? "same" : "other",
            onSelect: () => {
              this.following = true;
              location.replace(Fieldmark.link("why", one.id, one.label));
            },
          })),
          "The nearest references"
        )
      );
    }

    /* Several photos of one subject: which of them is compared. */
    choices() {
      const photos = Fieldmark.ask.photos();
      if (photos.length < 2) return null;
      return element(
        "div",
        { class: "row", role: "group", "aria-label": "Which of your photos" },
        photos.map((one, place) =>
          press(`Photo ${place + 1}`, one === this.photo(), () => {
            this.chosen = one;
            this.show(this.id, this.label);
          })
        )
      );
    }

    parts(told) {
      this.part = -1;
      if (!told.query.parts || !told.reference) return null;
      const onPart = (part) => {
        this.part = part;
        this.rest(told);
      };
      return Fieldmark.parts({ grid: told.query, picture: this.picture(0), onPart });
    }

    /* Nothing is pointed at. */
    rest(told) {
      const part = this.part >= 0;
      [told.query, told.reference].filter(Boolean).forEach((grid, place) => {
        const { values, ...size } = part && grid.parts ? grid.parts[this.part] : { values: grid.shares };
        this.sides[place].light(positive(values), size);
        this.sides[place].ring(-1);
      });
      this.readout.textContent = part
        ? `Lit is where the embedder sees its part ${this.part + 1}, a region that it has found by itself.`
        : ["Lit is what makes them alike.", told.pairs && POINT].filter(Boolean).join(" ");
    }

    point(told, place, at) {
      if (at < 0) return this.rest(told);
      const other = 1 - place;
      this.sides[other].point(-1, false);
      const grids = [told.query, told.reference];
      const values = answering(told, place === 0, at);
      const best = strongest(values);
      this.sides[place].light(null);
      this.sides[other].light(positive(values));
      this.sides[other].ring(best);
      const share = grids[place].shares[at] / told.similarity;
      const names = [
        ["your photo", "the reference"],
        ["the reference", "your photo"],
      ][place];
      this.readout.textContent =
        `This place at ${where(at, grids[place])} of ${names[0]} adds ${percent(share)} of the similarity. ` +
        `Most answers to it at ${where(best, grids[other])} of ${names[1]}.`;
    }
  }

  Fieldmark.why = new Why();
})();
