"use strict";
/* The map of the embedding space, as index.map has stored it in the index.

   Fieldmark.atlas  -> {element, title, show()} */

(() => {
  const { element, service, plural, short } = Fieldmark;

  class Atlas {
    constructor() {
      this.title = "Map";
      service.onGeneration(() => (this.drawn = null)); // two indexes may be of one generation
      this.lead = element("p", { class: "lead" }, "References that the embedder takes for alike lie close together.");
      this.body = element("div", { class: "stack" });
      this.element = element(
        "div",
        { class: "view atlas" },
        element("div", { class: "masthead" }, element("h1", { tabindex: "-1" }, "Map"), this.lead),
        (this.changed = element("div")),
        this.body
      );
    }

    show() {
      this.changed.replaceChildren();
      return this.read();
    }

    async read() {
      if (Fieldmark.ask.info && Fieldmark.ask.info.map === false) return this.body.replaceChildren(this.none());
      if (!this.drawn) this.body.replaceChildren(Fieldmark.busy("Reading the map …"));
      try {
        const told = await service.get("/map", {}, { seconds: 120 });
        if (told.generation !== this.drawn) this.draw(told);
      } catch (error) {
        this.drawn = null;
        this.body.replaceChildren(error.status === 404 ? this.none() : Fieldmark.said(error));
      }
    }

    none() {
      return element(
        "div",
        { class: "notice" },
        element("p", null, "This index has no map yet. This command makes one, with the name of the index:"),
        element("p", null, element("code", null, "python -m index.map birds.index"))
      );
    }

    draw({ generation, count, labels, codes, ids, points }) {
      this.drawn = generation;
      const named = (at) => labels[codes[at]] ?? "no label";
      if (this.map) this.map.forget();
      this.map = Fieldmark.map({
        label: `Map of ${plural(ids.length, "reference")}`,
        names: labels,
        codes,
        x: Float32Array.from(points, ([x]) => x ?? NaN),
        y: Float32Array.from(points, ([, y]) => y ?? NaN),
        about: (at) => ({
          title: short(named(at), 80),
          photo: Fieldmark.referencePhoto(ids[at]),
          alt: `Reference of ${short(named(at))}`,
        }),
        more: (at) => this.more(ids[at], named(at)),
      });
      this.body.replaceChildren(...[this.missing(count - ids.length), this.map.element].filter(Boolean));
    }

    missing(count) {
      if (!count) return null;
      return element(
        "p",
        { class: "small faint" },
        `${plural(count, "reference")} ${count === 1 ? "is" : "are"} not on it yet; `,
        element("code", null, "python -m index.map NAME.index"),
        ` brings ${count === 1 ? "it" : "them"} in.`
      );
    }

    /* What can be done with the reference that is pinned. */
    more(id, label) {
      const onChanged = (notice) => {
        this.changed.replaceChildren(...[notice].filter(Boolean));
        this.read();
      };
      const open = element(
        "button",
        {
          class: "button",
          type: "button",
          on: { click: () => Fieldmark.openReference({ id, label }, { onChanged }) },
        },
        "Open reference"
      );
      return [open, element("a", { href: Fieldmark.link("browse", label) }, "All of this label")];
    }
  }

  Fieldmark.atlas = new Atlas();
})();
