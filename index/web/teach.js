"use strict";
/* "This is a ...": a photo becomes a reference, of a label that is known or new.

   Fieldmark.teach({info, photos(), box(), itself(), onTaught, onUndone})  -> {element, suggest(labels), forget()}: the form.
       photos() and box() are what is taught; itself() is the reference that the photo is already, {id, label}, or null;
       onTaught(notice) and onUndone() are called when the index has changed.
   Fieldmark.renamed({id, label}, to)  -> Promise of what the service says when a reference has another label; null where
       nobody gave the token.
   Fieldmark.labelField({id, label, suggestions(), onEnter})  -> {element, input}: a field that finds labels as one
       types.
   Fieldmark.undoable(text, generation, onUndone)  -> a notice of what was changed, with a button that takes it back. */

(() => {
  const { element, plural, short } = Fieldmark;
  const FOUND = 8;
  const PATIENCE = 150; // milliseconds

  const same = (one, other) => one.normalize() === other.normalize(); // as the service takes labels

  class LabelField {
    constructor({ id, label, suggestions, onEnter }) {
      Object.assign(this, { id, suggestions, onEnter, at: -1, options: [] });
      this.input = element("input", {
        class: "field",
        id,
        type: "text",
        role: "combobox",
        autocomplete: "off",
        spellcheck: "false",
        "aria-autocomplete": "list",
        "aria-expanded": "false",
        "aria-controls": `${id}-list`,
      });
      this.list = element("ul", {
        class: "options",
        id: `${id}-list`,
        role: "listbox",
        "aria-label": "Labels",
        hidden: true,
      });
      this.element = element("div", { class: "combo" }, element("label", { for: id }, label), this.input, this.list);
      this.input.addEventListener("input", () => this.wait());
      this.input.addEventListener("focus", () => this.wait());
      this.input.addEventListener("blur", () => this.close());
      this.input.addEventListener("keydown", (event) => this.key(event));
    }

    wait() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.find(), PATIENCE);
    }

    async find() {
      const search = this.input.value.trim();
      if (search.length > 200) return this.close();
      const first = search ? [] : this.suggestions();
      try {
        const { labels, exact } =
          search || !first.length ? await Fieldmark.service.get("/labels", { search, limit: FOUND }) : { labels: [] };
        if (exact && !labels.some(({ label }) => label === exact.label)) labels.unshift(exact);
        if (search === this.input.value.trim() && document.activeElement === this.input)
          this.open(search ? labels : first.length ? first.map((name) => ({ label: name })) : labels);
      } catch {
        this.close(); // a label can be typed all the same
      }
    }

    open(found) {
      const typed = this.input.value.trim();
      const fresh = typed && !found.some(({ label }) => same(label, typed));
      const labels = fresh ? [...found, { label: typed, fresh }] : found;
      this.options = labels.map(({ label, references, fresh: isNew }, place) =>
        element(
          "li",
          {
            id: `${this.id}-${place}`,
            role: "option",
            "aria-selected": "false",
            title: label,
            on: {
              pointerdown: (event) => event.preventDefault(), // the field keeps the focus; a finger may scroll
              click: () => this.take(label),
            },
          },
          element("span", null, short(label, 60)),
          element(
            "span",
            { class: "small faint" },
            isNew ? "a new label" : references === undefined ? "" : plural(references, "photo")
          )
        )
      );
      this.labels = labels.map(({ label }) => label);
      this.list.replaceChildren(...this.options);
      this.mark(-1);
      this.shown(this.options.length > 0);
    }

    shown(is) {
      this.list.hidden = !is;
      this.input.setAttribute("aria-expanded", String(is));
      if (!is) this.mark(-1);
    }

    close() {
      clearTimeout(this.timer);
      this.shown(false);
    }

    mark(place) {
      this.at = place;
      this.options.forEach((option, other) => option.setAttribute("aria-selected", String(other === place)));
      if (place >= 0) this.options[place].scrollIntoView({ block: "nearest" });
      if (place >= 0) this.input.setAttribute("aria-activedescendant", this.options[place].id);
      else this.input.removeAttribute("aria-activedescendant");
    }

    take(label) {
      this.input.value = label;
      this.close();
    }

    key(event) {
      if (event.isComposing || event.keyCode === 229) return; // it is of what somebody writes Chinese with, or Korean
      const open = !this.list.hidden;
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && !open) this.find();
      else if (step)
        this.mark((this.at + step + this.options.length + (this.at < 0 && step < 0 ? 1 : 0)) % this.options.length);
      else if (event.key === "Escape" && open) this.close();
      else if (event.key === "Enter" && open && this.at >= 0) this.take(this.labels[this.at]);
      else if (event.key === "Enter") {
        this.close();
        this.onEnter();
      } else return;
      event.preventDefault();
    }
  }

  Fieldmark.labelField = (options) => new LabelField(options);

  Fieldmark.undoable = (text, generation, onUndone) => {
    const place = element("div", { class: "notice good undoable", role: "status" });
    const undo = async () => {
      button.disabled = true;
      try {
        const told = await Fieldmark.withToken((token) => Fieldmark.service.send("/undo", { generation }, { token }));
        if (!told) {
          button.disabled = false;
          return;
        }
        place.replaceChildren(element("p", null, "Taken back: the index is as it was before."));
        onUndone();
      } catch (error) {
        button.disabled = error.status === 409; // another change has come between
        trouble.replaceChildren(Fieldmark.said(error));
      }
    };
    const trouble = element("div");
    const button = element("button", { class: "button", type: "button", on: { click: undo } }, "Undo");
    place.append(element("p", null, element("span", { "aria-hidden": "true" }, "✓ "), text), button, trouble);
    return place;
  };

  const notice = (text) => element("div", { class: "notice good", role: "status" }, element("p", null, text));

  const wrong = (label, most) => {
    const length = [...label].length;
    if (!length) return "Say first what it is.";
    return length > most
      ? `The label has ${Fieldmark.count(length)} characters; it may have at most ${Fieldmark.count(most)}.`
      : null;
  };

  /* It is still read when other photos are asked about. */
  function outcome(label, told, taken) {
    const name = short(label, 60);
    const which = Fieldmark.names(taken);
    if (told.relabelled) return `${plural(told.relabelled, "reference")} became ${name}: ${which}.`;
    if (!told.added) return `${plural(told.already_there, "photo")} had been a reference of ${name} already: ${which}.`;
    const itself = told.added === 1 ? "It is its" : "They are their";
    return (
      `${plural(told.added, "photo")} added to the references of ${name}: ${which}. ` +
      `${itself} own nearest now; another photo shows what was learnt.`
    );
  }

  Fieldmark.renamed = ({ id, label }, to) => {
    const path = `/references/${encodeURIComponent(id)}?${new URLSearchParams({ label })}`;
    return Fieldmark.withToken((token) => Fieldmark.service.change(path, { to }, { token }));
  };

  Fieldmark.teach = ({ info, photos, box, itself, onTaught, onUndone }) => {
    if (!info.service.edit)
      return {
        suggest() {},
        forget() {},
        element: element(
          "p",
          { class: "small faint" },
          "Wrong, or new? This service does not change its index. " +
            "Started with --allow-edit and a token, it can be taught here."
        ),
      };
    let suggested = [];
    let turn = 0; // of the photos that are asked about
    const result = element("div", { class: "stack" });
    const button = element("button", { class: "button main", type: "submit" }, "Teach");
    const field = Fieldmark.labelField({
      id: "taught",
      label: "This is a",
      suggestions: () => suggested,
      onEnter: () => learn(false),
    });

    /* What comes of a change is of the photos that were asked about when it was sent. */
    async function change(send, done, anew) {
      if (button.disabled) return; // it is under way
      const label = field.input.value.trim();
      const problem = wrong(label, info.service.label);
      if (problem) return refuse(new Fieldmark.Refused(problem));
      button.disabled = true;
      const [taken, mine] = [photos(), turn];
      result.replaceChildren(Fieldmark.busy("Adding to the references …"));
      try {
        const told = await send(label, taken);
        if (mine === turn) result.replaceChildren();
        if (!told) return;
        if (mine === turn) {
          field.input.value = "";
          field.input.removeAttribute("aria-invalid");
        }
        done(told, label, taken);
      } catch (error) {
        const other = error.status === 409 && error.message.includes("there already as"); // no change has come between
        if (mine === turn) refuse(error, other && !anew);
        else result.replaceChildren(Fieldmark.said(error, `Of ${Fieldmark.names(taken)}, not taught: `));
      } finally {
        if (mine === turn) button.disabled = false;
      }
    }

    function learn(anew) {
      const send = (label, taken) => {
        const values = {
          photo: taken.map((one) => one.file),
          label,
          box: box() && box().join(","),
          relabel: anew || null,
        };
        return Fieldmark.withToken((token) =>
          Fieldmark.service.send("/references", values, { token, seconds: 120 })
        );
      };
      const done = (told, label, taken) => {
        const said = outcome(label, told, taken);
        // What has changed nothing leaves nothing to take back, but perhaps what was taught before.
        if (told.added || told.relabelled) onTaught(Fieldmark.undoable(said, told.generation, onUndone));
        else result.replaceChildren(notice(said));
      };
      return change(send, done, anew);
    }

    /* A reference that is this very photo is renamed; what was taught of it is taught as something else. */
    function relabel() {
      const one = itself();
      if (!one) return learn(true);
      const done = ({ generation }, label) =>
        onTaught(Fieldmark.undoable(`The reference is one of ${short(label, 60)} now.`, generation, onUndone));
      return change((label) => Fieldmark.renamed(one, label), done, true);
    }

    /* What was refused stays typed; another label of the same photo can be insisted on. */
    function refuse(error, insist) {
      field.input.setAttribute("aria-invalid", "true");
      const again =
        insist &&
        element("button", { class: "button", type: "button", on: { click: relabel } }, "Change its label");
      result.replaceChildren(...[Fieldmark.said(error), again].filter(Boolean));
      field.input.focus();
      field.close();
    }

    const form = element("form", { class: "teach" }, field.element, button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      learn(false);
    });
    return {
      element: element("div", { class: "stack" }, form, result),
      suggest: (labels) => {
        suggested = labels;
      },
      /* What was said of photos is not of others. */
      forget: () => {
        turn += 1;
        button.disabled = false;
        result.replaceChildren();
        field.input.removeAttribute("aria-invalid");
      },
    };
  };
})();
