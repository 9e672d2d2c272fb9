"use strict";
/* What is worth a person's look: the doubtful answers of this visit, and what index.review finds among the references.

   Fieldmark.review  -> {element, title, show()} */

(() => {
  const { element, service, plural, percent, number, short } = Fieldmark;
  const KINDS = {
    doubts: {
      name: "Doubtful labels",
      about: "References whose nearest neighbours say another label, the most doubtful first.",
    },
    copies: {
      name: "Near copies",
      about: "References that show the same picture; one of each is enough. Those under several labels come first.",
    },
    misleading: {
      name: "Misleading",
      about: "References that vote for photos of other labels and never for one of their own.",
    },
    thin: { name: "Thin labels", about: "Labels of few references: more photos would help them most." },
  };
  const PAGE = 24;
  const EXAMPLES = 6;

  const press = (text, then) => element("button", { class: "button", type: "button", on: { click: then } }, text);

  class Review {
    constructor() {
      Object.assign(this, { title: "Review", kind: "doubts" });
      this.mine = element("div", { class: "stack" });
      this.changed = element("div");
      this.tabs = element("div", { class: "row", role: "group", "aria-label": "Kinds of findings" });
      this.about = element("p", { class: "faint" });
      this.found = element("div", { class: "stack", "aria-busy": "false" });
      this.rest = element("div", { class: "row" });
      this.element = element(
        "div",
        { class: "view review" },
        element(
          "div",
          { class: "masthead" },
          element("h1", { tabindex: "-1" }, "Review"),
          element("p", { class: "lead" }, "What is worth a person's look: teaching these helps most.")
        ),
        Fieldmark.section("doubtful", "Doubtful answers", null, this.mine),
        Fieldmark.section(
          "findings",
          "Findings among the references",
          null,
          this.changed,
          this.tabs,
          this.about,
          this.found,
          this.rest
        )
      );
      Fieldmark.onDoubt(() => this.queue());
      this.queue();
    }

    show() {
      this.queue();
      return this.look(this.kind);
    }

    queue() {
      const some = Fieldmark.doubtful;
      if (!some.length) {
        this.mine.replaceChildren(
          element(
            "p",
            { class: "faint" },
            "None in this visit. Photos that are unknown, or that several labels fit, stay here until it ends."
          )
        );
        return;
      }
      const settle = (one) => {
        Fieldmark.doubtful = Fieldmark.doubtful.filter((other) => other !== one);
        this.queue();
        Fieldmark.ask.recount();
      };
      this.mine.replaceChildren(
        element(
          "ul",
          { class: "tiles" },
          some.map((one) => {
            const guess = one.answer.label || (one.answer.candidates[0] || {}).label || "no guess";
            const item = Fieldmark.tile({
              photo: one.photos[0].place(),
              alt: `Ask again: ${one.photos[0].name}`,
              frame: "other",
              caption: short(guess, 60),
              note: one.why,
              onSelect: () => Fieldmark.ask.reopen(one),
            });
            item.append(
              element(
                "button",
                {
                  class: "button slight",
                  type: "button",
                  "aria-label": `Settled: ${one.photos[0].name}`,
                  on: { click: () => settle(one) },
                },
                "Settled"
              )
            );
            return item;
          })
        )
      );
    }

    async look(kind, after = 0) {
      this.kind = kind;
      const asking = (this.asking = {});
      if (!after) {
        this.known = new Map();
        this.rest.replaceChildren();
        this.found.replaceChildren(
          Fieldmark.busy("Looking through the references; that takes a moment the first time …")
        );
        this.head(null);
      }
      this.found.setAttribute("aria-busy", "true");
      try {
        const told = await service.get("/review", { kind, after, limit: PAGE }, { seconds: 300 });
        if (asking !== this.asking) return;
        this.head(told);
        if (!after)
          this.found.replaceChildren(...(told.found.length ? [] : [element("p", { class: "faint" }, "None.")]));
        this.found.append(...this.drawn(kind, told.found));
        this.rest.replaceChildren(
          ...(told.next === null ? [] : [press("Show more", () => this.look(kind, told.next))])
        );
      } catch (error) {
        if (asking === this.asking) this.lost(error, kind, after);
      } finally {
        if (asking === this.asking) this.found.setAttribute("aria-busy", "false");
      }
    }

    /* What was shown stays, and more can be asked for again. */
    lost(error, kind, after) {
      if (!after) return this.found.replaceChildren(Fieldmark.said(error));
      this.rest.replaceChildren(Fieldmark.said(error), press("Try again", () => this.look(kind, after)));
    }

    head(told) {
      this.about.textContent = KINDS[this.kind].about;
      const part = told && told.looked_at < told.references;
      if (part)
        this.about.textContent +=
          ` Looked at: ${Fieldmark.count(told.looked_at)} of ${plural(told.references, "reference")}, ` +
          "drawn label by label.";
      Object.entries(KINDS).forEach(([kind, { name }], place) => {
        const badge = told && element("span", { class: "badge" }, Fieldmark.count(told[kind]));
        const tab = this.tabs.children[place] || this.tabs.appendChild(press("", () => this.look(kind)));
        tab.setAttribute("aria-pressed", String(kind === this.kind));
        tab.replaceChildren(...[name, badge].filter(Boolean));
      });
    }

    drawn(kind, found) {
      if (kind === "thin") return found.map((one) => this.thin(one));
      if (kind !== "copies") return found.map((one) => (kind === "doubts" ? this.doubt(one) : this.misleading(one)));
      const groups = new Map();
      for (const one of found) groups.set(one.group, [...(groups.get(one.group) || []), one]);
      return [...groups.values()].map((members) => this.copies(members));
    }

    /* A few references of the label that is suggested, to be compared with. */
    examples(label) {
      const place = element("ul", { class: "tiles examples", "aria-label": `References of ${short(label)}` });
      if (!this.known.has(label)) this.known.set(label, service.get("/references", { label, limit: EXAMPLES }));
      const drawn = ({ references }) =>
        references.map((one) =>
          Fieldmark.tile({
            photo: Fieldmark.referencePhoto(one.id),
            alt: `Reference of ${short(label)}`,
            onSelect: () => Fieldmark.openReference(one, { onChanged: (notice) => this.onChanged(notice) }),
          })
        );
      this.known.get(label).then(
        (told) => place.replaceChildren(...drawn(told)),
        () => place.remove() // the finding says enough without them
      );
      return place;
    }

    finding(one, title, text, ...actions) {
      const open = () => Fieldmark.openReference(one, { onChanged: (notice) => this.onChanged(notice) });
      const photo = Fieldmark.tile({
        photo: Fieldmark.referencePhoto(one.id),
        alt: `Reference of ${short(one.label)}`,
        frame: "bare",
        onSelect: open,
      });
      return element(
        "article",
        { class: "finding card" },
        element("ul", { class: "tiles" }, photo),
        element(
          "div",
          { class: "stack tight" },
          element("h3", { title: one.label }, title),
          element("p", null, text),
          element("p", { class: "small faint breaks" }, one.path),
          actions
        )
      );
    }

    doubt(one) {
      const text =
        `Its neighbours say ${short(one.elected, 60)}: ${percent(one.share, 0)} of the vote, ` +
        `${percent(one.own_share, 0)} for its own label.`;
      return this.finding(
        one,
        short(one.label, 60),
        text,
        this.examples(one.elected),
        this.edits() && press(`Rename to ${short(one.elected, 30)}`, (event) => this.rename(one, event.target))
      );
    }

    misleading(one) {
      return this.finding(
        one,
        short(one.label, 60),
        `Votes for ${plural(one.misled, "photo")} of other labels, for none of its own.`
      );
    }

    copies(members) {
      const labels = [...new Set(members.map((one) => one.label))];
      const title = labels.length === 1 ? short(labels[0], 60) : `Under ${labels.length} labels`;
      const tiles = members.map((one) => ({
        photo: Fieldmark.referencePhoto(one.id),
        alt: `Reference of ${short(one.label)}`,
        caption: short(one.label, 60),
        frame: "bare",
        onSelect: () => Fieldmark.openReference(one, { onChanged: (notice) => this.onChanged(notice) }),
      }));
      return element(
        "article",
        { class: "card stack" },
        element("h3", null, title),
        element(
          "p",
          { class: "small faint" },
          `${plural(members.length, "reference")}, similarity ${number(members[0].similarity)}`
        ),
        Fieldmark.tiles(tiles, title)
      );
    }

    thin(one) {
      const count =
        one.independent === one.references
          ? plural(one.references, "reference")
          : `${one.independent} independent of ${plural(one.references, "reference")}`;
      return element(
        "p",
        null,
        element(
          "a",
          { href: Fieldmark.link("browse", one.label), title: one.label },
          element("bdi", null, short(one.label, 60))
        ),
        element("span", { class: "faint" }, ` ${count}`)
      );
    }

    edits() {
      return Fieldmark.ask.info && Fieldmark.ask.info.service.edit;
    }

    async rename(one, button) {
      const { elected } = one;
      button.disabled = true;
      try {
        const told = await Fieldmark.renamed(one, elected);
        if (told)
          this.onChanged(
            Fieldmark.undoable(`The reference is one of ${short(elected, 60)} now.`, told.generation, () =>
              this.look(this.kind)
            )
          );
      } catch (error) {
        this.changed.replaceChildren(Fieldmark.said(error));
      } finally {
        button.disabled = false;
      }
    }

    onChanged(notice) {
      if (notice) this.changed.replaceChildren(notice);
      this.look(this.kind);
    }
  }

  Fieldmark.review = new Review();
})();
