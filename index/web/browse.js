"use strict";
/* The labels of the index and their references.

   Fieldmark.browse  -> {element, title, show(label)}: all labels, or the references of one.
   Fieldmark.openReference(reference, {onChanged})  -> opens a dialog with a reference {id, label, path}: its photo, its
       names (path undefined where it is not known, null where there is none), and what can be done with it: compare it
       with the photo that is asked about, or remove it. onChanged takes the notice that offers to undo that, and null
       when it is undone. */

(() => {
  const { element, service, plural, short } = Fieldmark;
  const LABELS = 60;
  const REFERENCES = 60;
  const PATIENCE = 200; // milliseconds

  const press = (text, then, more) =>
    element("button", { class: "button", type: "button", on: { click: then }, ...more }, text);

  Fieldmark.openReference = ({ id, label, path }, { onChanged = () => {} } = {}) => {
    const close = () => dialog.close();
    const remove = async (event) => {
      event.target.disabled = true;
      try {
        const told = await Fieldmark.withToken((token) =>
          service.remove(`/references/${encodeURIComponent(id)}`, { label }, { token })
        );
        if (!told) return;
        close();
        onChanged(
          Fieldmark.undoable(`A reference of ${short(label, 60)} is gone.`, told.generation, () => onChanged(null))
        );
      } catch (error) {
        trouble.replaceChildren(Fieldmark.said(error));
      } finally {
        event.target.disabled = false;
      }
    };
    const trouble = element("div");
    const compare = () => {
      close();
      location.hash = Fieldmark.link("why", id, label);
    };
    const photo = Fieldmark.photo({ src: `/images/${encodeURIComponent(id)}` }, `Reference of ${short(label)}`);
    const dialog = element(
      "dialog",
      { class: "dialog large", "aria-label": `Reference of ${short(label)}` },
      photo,
      element("h2", { title: label }, Fieldmark.breakable(short(label, 120))),
      path !== undefined && element("p", { class: "small faint breaks" }, path || "Added without a file."),
      trouble,
      element(
        "div",
        { class: "row" },
        Fieldmark.ask.photos().length > 0 && press("Compare with your photo", compare),
        Fieldmark.ask.info && Fieldmark.ask.info.service.edit && press("Remove", remove),
        press("Close", close, { autofocus: true })
      )
    );
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) close();
    });
    document.body.append(dialog);
    dialog.showModal();
  };

  class Browse {
    constructor() {
      this.title = "Browse";
      this.heading = element("h1", { tabindex: "-1" });
      this.note = element("p", { class: "lead", role: "status" });
      this.field = element("input", {
        class: "field",
        type: "search",
        placeholder: "Find a label",
        "aria-label": "Find a label",
        on: {
          input: () => {
            clearTimeout(this.timer);
            this.timer = setTimeout(() => this.labels(), PATIENCE);
          },
        },
      });
      this.back = element("a", { href: Fieldmark.link("browse") }, "← All labels");
      this.changed = element("div");
      this.list = element("ul", { class: "tiles" });
      this.rest = element("div", { class: "row" });
      this.element = element(
        "div",
        { class: "view browse" },
        element("div", { class: "masthead" }, this.back, this.heading, this.note),
        this.changed,
        this.field,
        this.list,
        this.rest
      );
      const near = (entries) =>
        entries.forEach(({ isIntersecting, target }) => {
          if (isIntersecting) this.picture(target);
        });
      this.seen = new IntersectionObserver(near, { rootMargin: "200px" });
    }

    show(label) {
      clearTimeout(this.timer);
      this.changed.replaceChildren();
      this.label = label;
      this.back.hidden = label === undefined;
      this.field.hidden = label !== undefined;
      return label === undefined ? this.labels() : this.references();
    }

    /* One page after another; what was asked before another page was wanted is dropped. */
    async page(path, values, draw) {
      const asking = (this.asking = {});
      if (!values.after) {
        this.list.replaceChildren();
        this.rest.replaceChildren();
        this.note.textContent = "Reading …";
      }
      try {
        const told = await service.get(path, values);
        if (asking !== this.asking) return;
        const drawn = draw(told);
        this.list.append(...drawn);
        if (values.after && this.rest.contains(document.activeElement)) drawn[0].querySelector("button").focus();
        this.rest.replaceChildren(
          ...(told.next === null ? [] : [press("Show more", () => this.page(path, { ...values, after: told.next }, draw))])
        );
      } catch (error) {
        if (asking !== this.asking) return;
        if (!values.after) this.note.textContent = "";
        this.rest.replaceChildren(
          Fieldmark.said(error),
          press("Try again", () => this.page(path, values, draw))
        );
      }
    }

    labels() {
      this.heading.textContent = "Browse";
      this.list.setAttribute("aria-label", "Labels");
      const search = this.field.value.trim().slice(0, 200);
      return this.page("/labels", { search, limit: LABELS }, ({ count, labels }) => {
        const none = search ? "No label holds these letters." : "This index holds no references yet.";
        this.note.textContent = !labels.length
          ? none
          : search
            ? `Labels with “${short(search, 40)}”`
            : plural(count, "label");
        return labels.map(({ label, references }) => this.entry(label, references));
      });
    }

    entry(label, references) {
      const item = Fieldmark.tile({
        photo: { absent: "…" },
        alt: short(label),
        caption: short(label),
        note: plural(references, "reference"),
        frame: "bare",
        onSelect: () => {
          location.hash = Fieldmark.link("browse", label);
        },
      });
      item.dataset.label = label;
      this.seen.observe(item);
      return item;
    }

    async picture(item) {
      this.seen.unobserve(item);
      try {
        const { references } = await service.get("/references", { label: item.dataset.label, limit: 1 });
        item.querySelector("button").removeAttribute("aria-label");
        const photo = references.length ? Fieldmark.referencePhoto(references[0].id) : { absent: "no reference" };
        item.querySelector(".photo").replaceWith(Fieldmark.photo(photo, short(item.dataset.label)));
      } catch {
        item.querySelector(".absent").textContent = "not to be had";
      }
    }

    references() {
      this.heading.replaceChildren(...Fieldmark.breakable(short(this.label, 120)));
      this.heading.title = this.label;
      this.list.setAttribute("aria-label", `References of ${short(this.label)}`);
      const shown = this.label;
      const onChanged = (notice) => {
        if (notice) this.changed.replaceChildren(notice);
        if (this.label !== shown) return; // the list is another one's by now
        if (!notice || this.list.children.length > 1) return this.references();
        this.list.replaceChildren();
        this.note.textContent = "No reference is left.";
      };
      return this.page("/references", { label: this.label, limit: REFERENCES }, ({ count, references }) => {
        this.note.textContent = plural(count, "reference");
        return references.map((one) =>
          Fieldmark.tile({
            photo: Fieldmark.referencePhoto(one.id),
            alt: one.path || one.id,
            frame: "bare",
            onSelect: () => Fieldmark.openReference(one, { onChanged }),
          })
        );
      });
    }
  }

  Fieldmark.browse = new Browse();
})();
