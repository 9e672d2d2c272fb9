"use strict";
/* The photo that is asked about, and a box around its subject.

   Fieldmark.boxed(taken, {box, onBox, actions})  -> an element that shows a photo (photo.js), on which a box may be
       drawn with the mouse, and with a finger or keys once "Mark the subject" is pressed. A box is [left, top, right,
       bottom] in pixels of the upright photo, null for the whole; onBox(box) is told half a second after the last
       change, and not of the box that is there to begin with. actions: further buttons. */

(() => {
  const { element } = Fieldmark;
  const LEAST = 0.04; // of a side: what is smaller is a click
  const STEP = 0.02;
  const PATIENCE = 500; // milliseconds
  const OFFERED = [0.2, 0.2, 0.8, 0.8];
  const CORNERS = ["nw", "ne", "se", "sw"];
  const within = (value) => Math.min(1, Math.max(0, value));

  class Boxed {
    constructor(taken, { box, onBox, actions }) {
      Object.assign(this, { taken, onBox, share: null, marking: false });
      this.image = element("img", { src: taken.address, alt: `Your photo, ${taken.name}`, draggable: "false" });
      this.frame = element(
        "div",
        { class: "marked", hidden: true },
        CORNERS.map((corner) => element("span", { class: `corner ${corner}`, data: { corner } }))
      );
      this.stage = element("div", { class: "subject" }, this.image, this.frame);
      this.voice = element("span", { class: "only-read", role: "status" });
      const press = (text, then) => element("button", { class: "button", type: "button", on: { click: then } }, text);
      this.mark = press("Mark the subject", () => this.toggle());
      this.whole = press("Whole photo", () => {
        this.set(null);
        this.mark.focus();
      });
      this.hint = element("p", { class: "small faint" });
      this.element = element(
        "div",
        { class: "stack" },
        this.stage,
        element("div", { class: "row" }, this.mark, this.whole, actions),
        this.hint,
        this.voice
      );
      taken.ready.then(() => this.begin(box));
      this.listen();
    }

    begin(box) {
      const { width, height, unseen } = this.taken;
      if (!unseen) this.stage.style.setProperty("--ratio", String(width / height));
      if (unseen) {
        this.stage.replaceChildren(Fieldmark.photo(this.taken.place(), this.taken.name));
        this.mark.hidden = this.whole.hidden = true;
        return;
      }
      this.mark.hidden = this.taken.read === false; // no part of it can be asked about either
      if (box) this.share = [box[0] / width, box[1] / height, box[2] / width, box[3] / height];
      this.draw();
    }

    /* Whether the box is still the one that is there to begin with. */
    get offered() {
      return this.share === OFFERED;
    }

    draw() {
      const { share } = this;
      this.frame.hidden = !share;
      this.whole.hidden = !share;
      this.stage.classList.toggle("marking", this.marking);
      this.frame.classList.toggle("offered", this.offered);
      this.mark.setAttribute("aria-pressed", String(this.marking));
      this.stage.tabIndex = this.marking ? 0 : -1;
      for (const [name, value] of [
        ["role", "application"],
        ["aria-label", "Box around the subject"],
        ["aria-roledescription", "box"],
      ])
        if (this.marking) this.stage.setAttribute(name, value);
        else this.stage.removeAttribute(name);
      this.hint.replaceChildren(
        ...(this.marking
          ? Fieldmark.words(
              "Draw a box around the subject, or move it by the arrow keys. " +
                "Shift and arrows size it, Delete takes it away.",
              "Draw a box around the subject with your finger, or move the box and its corners."
            )
          : [])
      );
      if (!share) return;
      const [left, top, right, bottom] = share.map((part) => `${100 * part}%`);
      this.frame.style.left = left;
      this.frame.style.top = top;
      this.frame.style.width = `calc(${right} - ${left})`;
      this.frame.style.height = `calc(${bottom} - ${top})`;
    }

    toggle() {
      this.marking = !this.marking;
      if (this.marking && !this.share) this.share = OFFERED;
      else if (this.offered) this.share = null;
      this.draw();
      if (this.marking) this.stage.focus();
    }

    set(share) {
      this.share = share;
      if (!share) this.marking = false;
      this.draw();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.voice.textContent = this.told();
        this.onBox(this.box());
      }, PATIENCE);
    }

    box() {
      if (!this.share || this.offered) return null;
      const { width, height } = this.taken;
      return this.share.map((part, place) => Math.round(part * (place % 2 ? height : width)));
    }

    told() {
      if (!this.share) return "The whole photo";
      const [left, top, right, bottom] = this.share.map((part) => Math.round(100 * part));
      return `Box from ${left} to ${right} per cent across and ${top} to ${bottom} per cent down`;
    }

    /* Where the pointer is, as shares of the sides. */
    at(event) {
      const seen = this.image.getBoundingClientRect();
      return [within((event.clientX - seen.left) / seen.width), within((event.clientY - seen.top) / seen.height)];
    }

    listen() {
      let move = null;
      this.stage.addEventListener("pointerdown", (event) => {
        if (this.mark.hidden || event.button > 0 || (event.pointerType === "touch" && !this.marking)) return;
        event.preventDefault();
        this.stage.setPointerCapture(event.pointerId);
        move = this.grasped(event);
      });
      this.stage.addEventListener("pointermove", (event) => {
        const made = move && move(this.at(event));
        if (made) this.set(made);
      });
      for (const name of ["pointerup", "pointercancel"])
        this.stage.addEventListener(name, () => {
          move = null;
        });
      this.stage.addEventListener("keydown", (event) => this.key(event));
    }

    /* What moving the pointer from here does: a corner, the whole box, or a new one. */
    grasped(event) {
      const [x, y] = this.at(event);
      const corner = event.target.dataset.corner;
      const between = (one, other) => (to) => {
        const made = [Math.min(one, to[0]), Math.min(other, to[1]), Math.max(one, to[0]), Math.max(other, to[1])];
        return made[2] - made[0] >= LEAST && made[3] - made[1] >= LEAST ? made : null;
      };
      if (!this.share || (!corner && (this.offered || event.target !== this.frame))) return between(x, y);
      const [left, top, right, bottom] = this.share;
      if (corner) return between(corner.includes("w") ? right : left, corner.includes("n") ? bottom : top);
      return (to) => moved([left, top, right, bottom], to[0] - x, to[1] - y);
    }

    key(event) {
      if (!this.marking || !this.share) return;
      const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
      if (by && event.shiftKey) this.set(grown(this.share, ...by));
      else if (by) this.set(moved(this.share, ...by));
      else if (event.key === "Delete" || event.key === "Backspace") {
        this.set(null);
        this.mark.focus();
      } else if (event.key === "Escape") {
        this.toggle();
        this.mark.focus();
      } else return;
      event.preventDefault();
    }
  }

  function moved([left, top, right, bottom], x, y) {
    const byX = Math.min(1 - right, Math.max(-left, x));
    const byY = Math.min(1 - bottom, Math.max(-top, y));
    return [left + byX, top + byY, right + byX, bottom + byY];
  }

  const grown = ([left, top, right, bottom], x, y) => [
    left,
    top,
    Math.min(1, Math.max(left + LEAST, right + x)),
    Math.min(1, Math.max(top + LEAST, bottom + y)),
  ];

  Fieldmark.boxed = (taken, options) => new Boxed(taken, options).element;
})();
