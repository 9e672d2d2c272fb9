"use strict";
/* Points of a plane on a canvas, coloured by class: drag to move, wheel, pinch or keys to zoom, hover to see, click to pin.

   Fieldmark.map({label, x, y, codes, names, about, more, sheets, places, onPin})  -> {element, pin(i), forget()}.
       x, y: Float32Array; NaN where a point has no place. codes: the class of each, -1 for none. names: of the classes.
       about(i) -> {title, note, photo, alt}: what is said of a point (photos.js says what a photo is).
       more(i) (optional) -> elements that what is said of a pinned point ends with; it then stays until it is let go.
       sheets, places (optional): a Fieldmark.Sheets and the place of each point's photo in it, -1 for none; zoomed in,
       photos stand in the place of points.
       onPin(i) is called when a point is pinned, with -1 when it is let go. forget(): the map is shown no more.
   60,000 points are drawn pixel by pixel into one picture, and found by a grid of cells. Needs points.js before it. */

(() => {
  const { element, plural } = Fieldmark;
  const { CELLS, gridded, disc, stamp, cross, channels, middles } = Fieldmark.points;
  const REACH = 14; // pixels between pointer and point
  const PHOTOS = 150; // at most so many are drawn
  const PHOTO_SIDE = 46;
  const PAPER = { width: 680, height: 600 }; // pixels, whatever the screen is
  const LEGEND = 300;
  const BUTTONS = 64; // pixels at the right, which they lie on

  class Plane {
    constructor(options) {
      Object.assign(this, options, gridded(options.x, options.y));
      this.middles = middles(this, this.codes, this.names.length);
      this.found = new Int32Array(this.order.length);
      this.view = { scale: 0, left: 0, top: 0 };
      [this.highlighted, this.hovered, this.pinned, this.keyed] = [-1, -1, -1, false];
      this.pointers = new Map();
      this.build();
      this.listen();
      this.recolour();
      const unthemed = Fieldmark.onTheme(() => this.recolour());
      if (this.sheets) this.sheets.whenLoaded(() => this.draw());
      new ResizeObserver(() => this.resize()).observe(this.stage);
      const unprinted = Fieldmark.onPrint((now) => {
        this.printing = now;
        this.resize();
        if (this.width) this.paint(); // the page does not wait
      });
      this.forget = () => [unthemed, unprinted, this.unscrolled].forEach((end) => end());
    }

    build() {
      this.canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map",
        "aria-label": `${this.label}. Arrow keys move, plus and minus zoom, 0 shows all, Enter pins the point in the middle.` });
      this.tip = element("div", { class: "tip", hidden: true });
      this.voice = element("span", { class: "only-read", role: "status" });
      const button = (text, label, then) =>
        element("button", { class: "button square", type: "button", "aria-label": label, title: label, on: { click: then } }, text);
      const zoom = element("div", { class: "zoom" }, button("+", "Zoom in", () => this.zoom(1.6)),
        button("\u2212", "Zoom out", () => this.zoom(1 / 1.6)), button("⤢", "Show all", () => this.fit()));
      this.stage = element("div", { class: "stage" }, this.canvas, zoom, this.tip, this.voice);
      this.element = element("div", { class: "map" }, this.stage, this.legend());
    }

    legend() {
      const counts = new Map(this.middles.map((one) => [one.code, one.count]));
      const shown = this.names.map((name, code) => ({ name, code })).filter(({ code }) => counts.has(code));
      const list = element("ul", { "aria-label": "Classes" });
      const rest = element("span", { class: "small faint", role: "status" });
      this.list = (wanted = "") => {
        const found = shown.filter(({ name }) => String(name).toLowerCase().includes(wanted.toLowerCase()));
        list.replaceChildren(...found.slice(0, LEGEND).map(({ name, code }) => {
          const [r, g, b] = this.palette[code];
          const toggle = () => this.highlight(this.highlighted === code ? -1 : code);
          return element("li", null, element("button", { type: "button", "aria-pressed": String(this.highlighted === code), data: { code },
            on: { click: toggle } },
          element("span", { class: "swatch", style: { background: `rgb(${r} ${g} ${b})` } }),
          element("span", { class: "name", title: name }, Fieldmark.breakable(name)), element("span", { class: "count" }, Fieldmark.count(counts.get(code)))));
        }));
        rest.textContent = found.length > LEGEND ? `and ${found.length - LEGEND} more` : plural(found.length, "class", "classes");
      };
      const field = element("input", { class: "field", type: "search", placeholder: "Find a class", "aria-label": "Find a class",
        on: { input: (event) => this.list(event.target.value.trim()) } });
      this.buttons = list;
      return element("div", { class: "legend" }, field, list, rest);
    }

    recolour() {
      this.palette = Fieldmark.colours(this.names.length);
      [this.ground, this.grey] = [channels(Fieldmark.paint("surface")), channels(Fieldmark.paint("line"))];
      [this.ink, this.halo] = [Fieldmark.paint("ink"), Fieldmark.paint("surface")];
      this.list();
      if (this.width) this.paint(); // at once: a page that is being printed does not wait
    }

    resize() {
      const { width, height } = this.printing ? PAPER : { width: this.stage.clientWidth, height: this.stage.clientHeight };
      if (!width || (width === this.width && height === this.height)) return;
      const [oldWidth, oldHeight] = [this.width, this.height];
      Object.assign(this, { width, height, ratio: this.printing ? 3 : Math.min(2, window.devicePixelRatio || 1) });
      this.canvas.width = Math.round(width * this.ratio);
      this.canvas.height = Math.round(height * this.ratio);
      if (!oldWidth || this.whole) return this.fit();
      this.view.left += (width - oldWidth) / 2;
      this.view.top += (height - oldHeight) / 2;
      this.draw();
    }

    fit() {
      const room = Math.max(this.width - BUTTONS, this.width / 2);
      const scale = Math.min(room / this.wide, this.height / this.high) * 0.9;
      this.least = scale * 0.7;
      this.whole = true;
      this.view = { scale, left: (room - scale) / 2, top: (this.height - scale) / 2 };
      this.draw();
    }

    zoom(factor, x = this.width / 2, y = this.height / 2) {
      const { scale, left, top } = this.view;
      const to = Math.min(Math.max(scale * factor, this.least), this.least * 600);
      this.whole = false;
      this.view = { scale: to, left: x - ((x - left) * to) / scale, top: y - ((y - top) * to) / scale };
      this.draw();
      return to !== scale;
    }

    move(x, y) {
      const middle = (start, size) => Math.min(Math.max(start, size / 2 - this.view.scale), size / 2);
      this.whole = false;
      this.view.left = middle(this.view.left + x, this.width);
      this.view.top = middle(this.view.top + y, this.height);
      this.draw();
    }

    at(i) {
      return [this.px[i] * this.view.scale + this.view.left, this.py[i] * this.view.scale + this.view.top];
    }

    /* Points within a rectangle of pixels, by whole cells. */
    within(left, top, right, bottom) {
      const { scale, left: x, top: y } = this.view;
      const cell = (pixel, start) => Math.min(CELLS - 1, Math.max(0, Math.floor(((pixel - start) / scale) * CELLS)));
      const [from, to, last] = [cell(left, x), cell(right, x), cell(bottom, y)];
      let count = 0;
      for (let row = cell(top, y); row <= last; row++) {
        const some = this.order.subarray(this.first[row * CELLS + from], this.first[row * CELLS + to + 1]);
        this.found.set(some, count);
        count += some.length;
      }
      return this.found.subarray(0, count);
    }

    nearest(x, y, reach = this.shown ? PHOTO_SIDE / 2 : REACH) {
      let [best, least] = [-1, reach];
      for (const i of this.within(x - reach, y - reach, x + reach, y + reach)) {
        const [px, py] = this.at(i);
        const distance = Math.hypot(px - x, py - y) * (this.highlighted >= 0 && this.codes[i] !== this.highlighted ? 3 : 1);
        if (distance <= least) [best, least] = [i, distance];
      }
      return best;
    }

    draw() {
      if (this.frame || !this.width) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.paint();
        this.tell();
      });
    }

    paint() {
      const { ratio, canvas, highlighted } = this;
      const pen = canvas.getContext("2d", { willReadFrequently: true });
      const image = pen.createImageData(canvas.width, canvas.height);
      const [red, green, blue] = this.ground;
      new Uint32Array(image.data.buffer).fill((255 << 24) | (blue << 16) | (green << 8) | red);
      const seen = this.within(0, 0, this.width, this.height).slice();
      const size = Math.min(4.2, Math.max(1.3, Math.sqrt((0.14 * this.width * this.height) / (seen.length + 1) / Math.PI)));
      const [small, large] = [disc(size * ratio), disc((size + 0.8) * ratio)];
      const { scale, left, top } = this.view;
      const dot = (i, mask, colour, strength) =>
        stamp(image, mask, (this.px[i] * scale + left) * ratio, (this.py[i] * scale + top) * ratio, colour, strength);
      const colour = (i) => (this.codes[i] < 0 ? this.grey : this.palette[this.codes[i]]);
      for (const i of seen)
        if (highlighted < 0) dot(i, small, colour(i), 0.82);
        else if (this.codes[i] !== highlighted) dot(i, small, this.grey, 0.8);
      if (highlighted >= 0) for (const i of seen) if (this.codes[i] === highlighted) dot(i, large, colour(i), 0.95);
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.putImageData(image, 0, 0);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.shown = this.sheets && this.view.scale > this.least * 2 && seen.length <= PHOTOS;
      if (this.shown) for (const i of seen) this.photo(pen, i, colour(i));
      else this.captions(pen);
      for (const i of [this.hovered, this.pinned]) if (i >= 0) this.ring(pen, i);
      if (this.keyed) cross(pen, this.width / 2, this.height / 2, this.ink);
    }

    photo(pen, i, [r, g, b]) {
      if (this.places[i] < 0) return;
      const [x, y] = this.at(i);
      const half = PHOTO_SIDE / 2;
      pen.globalAlpha = this.highlighted >= 0 && this.codes[i] !== this.highlighted ? 0.35 : 1;
      pen.fillStyle = `rgb(${r} ${g} ${b})`;
      pen.fillRect(x - half - 2.5, y - half - 2.5, PHOTO_SIDE + 5, PHOTO_SIDE + 5);
      this.sheets.draw(pen, this.places[i], x - half, y - half, PHOTO_SIDE);
      pen.globalAlpha = 1;
    }

    captions(pen) {
      pen.font = "500 11px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "bottom";
      pen.lineJoin = "round";
      const taken = [];
      for (const { code, x, y, top } of this.middles) {
        if (this.highlighted >= 0 && code !== this.highlighted) continue;
        const [middleX, middleY, topY] = [[x, "left"], [y, "top"], [top, "top"]].map(([at, side]) => at * this.view.scale + this.view[side]);
        if (middleX < 0 || middleY < 0 || middleX > this.width || middleY > this.height || taken.length >= 45) continue;
        const name = String(this.names[code]).replace(/^(.{27}).{2,}$/u, "$1…");
        const wide = pen.measureText(name).width / 2 + 5;
        const [atX, atY] = [Math.max(wide, Math.min(middleX, this.width - wide)), Math.max(topY - 5, 16)];
        if (taken.some((one) => Math.abs(one.x - atX) < one.wide + wide && Math.abs(one.y - atY) < 18)) continue;
        taken.push({ x: atX, y: atY, wide });
        pen.lineWidth = 3.5;
        pen.strokeStyle = this.halo;
        pen.strokeText(name, atX, atY);
        pen.fillStyle = this.ink;
        pen.fillText(name, atX, atY);
      }
    }

    ring(pen, i) {
      const [x, y] = this.at(i);
      pen.strokeStyle = this.ink;
      pen.lineWidth = 2;
      pen.beginPath();
      if (this.shown) pen.rect(x - PHOTO_SIDE / 2 - 4, y - PHOTO_SIDE / 2 - 4, PHOTO_SIDE + 8, PHOTO_SIDE + 8);
      else pen.arc(x, y, 7, 0, 2 * Math.PI);
      pen.stroke();
    }

    /* What the tip says: of the point under the pointer, else of the pinned one. */
    tell() {
      const stays = this.more && this.pinned >= 0;
      const i = this.hovered >= 0 && !stays ? this.hovered : this.pinned;
      this.tip.hidden = i < 0;
      if (i < 0) return;
      if (this.told !== i) {
        this.told = i;
        const { title, note, photo, alt } = this.about(i);
        this.tip.replaceChildren(...[photo && Fieldmark.photo(photo, alt || title), element("span", { class: "name" }, Fieldmark.breakable(title)),
          note && element("span", { class: "faint small" }, Fieldmark.breakable(note)), ...(stays ? this.more(i) : [])].filter(Boolean));
        if (this.keyed || i === this.pinned) this.voice.textContent = [title, note].filter(Boolean).join(", ");
      }
      this.tip.classList.toggle("pinned", i === this.pinned);
      const [x, y] = this.at(i);
      const [wide, high] = [this.tip.offsetWidth, this.tip.offsetHeight];
      const off = this.shown ? PHOTO_SIDE / 2 + 10 : 18;
      const left = x + off + wide > this.width ? x - off - wide : x + off;
      this.tip.style.left = `${Math.min(Math.max(6, left), Math.max(6, this.width - wide - 6))}px`;
      this.tip.style.top = `${Math.min(Math.max(6, y - high / 2), Math.max(6, this.height - high - 6))}px`;
    }

    hover(i) {
      if (i === this.hovered) return;
      this.hovered = i;
      this.canvas.classList.toggle("pointing", i >= 0);
      this.draw();
    }

    pin(i) {
      this.pinned = i;
      this.told = undefined;
      this.draw();
      if (this.onPin) this.onPin(i);
    }

    highlight(code) {
      this.highlighted = code;
      for (const button of this.buttons.querySelectorAll("button"))
        button.setAttribute("aria-pressed", String(Number(button.dataset.code) === code));
      this.draw();
    }

    listen() {
      const on = (name, then, options) => this.canvas.addEventListener(name, then, options);
      const point = (event) => {
        const box = this.canvas.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
      };
      let [travelled, scrolled] = [0, 0];
      const scroll = () => { scrolled = performance.now(); };
      window.addEventListener("scroll", scroll, { passive: true });
      this.unscrolled = () => window.removeEventListener("scroll", scroll);
      on("pointerdown", (event) => {
        this.canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, point(event));
        travelled = 0;
        this.keyed = false;
      });
      on("pointermove", (event) => {
        const [x, y] = point(event);
        const before = this.pointers.get(event.pointerId);
        if (!before) return this.hover(this.nearest(x, y));
        const spread = () => { const [[a, b], [c, d]] = [...this.pointers.values()]; return [Math.hypot(a - c, b - d), (a + c) / 2, (b + d) / 2]; };
        const old = this.pointers.size === 2 && spread();
        this.pointers.set(event.pointerId, [x, y]);
        travelled += Math.hypot(x - before[0], y - before[1]);
        if (travelled > 4) this.canvas.classList.add("moving");
        if (!old) return this.move(x - before[0], y - before[1]);
        const [wide, middleX, middleY] = spread();
        this.zoom(wide / (old[0] || 1), middleX, middleY);
        this.move(middleX - old[1], middleY - old[2]);
      });
      const up = (event) => {
        if (!this.pointers.delete(event.pointerId)) return;
        this.canvas.classList.remove("moving");
        if (event.type === "pointerup" && travelled <= 4) this.pin(this.nearest(...point(event)));
      };
      on("pointerup", up);
      on("pointercancel", up);
      on("pointerleave", () => this.hover(-1));
      on("wheel", (event) => {
        if (performance.now() - scrolled < 250 && !event.ctrlKey) return; // the page is being scrolled past the map
        const step = (event.deltaMode === 1 ? 0.05 : 0.0018) * (event.ctrlKey ? 4 : 1);
        const around = this.hovered >= 0 ? this.at(this.hovered) : point(event); // so that it stays in sight
        if (this.zoom(Math.exp(-event.deltaY * step), ...around) || event.ctrlKey) event.preventDefault();
      }, { passive: false });
      on("blur", () => { this.keyed = false; this.hover(-1); });
      on("keydown", (event) => this.key(event));
    }

    key(event) {
      const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (pan) this.move(...pan);
      else if (event.key === "+" || event.key === "=") this.zoom(1.4);
      else if (event.key === "-") this.zoom(1 / 1.4);
      else if (event.key === "0") this.fit();
      else if (event.key === "Enter" || event.key === " ") this.pin(this.nearest(this.width / 2, this.height / 2, 60));
      else if (event.key === "Escape") { this.pin(-1); this.hover(-1); return; }
      else return;
      event.preventDefault();
      this.keyed = true;
      this.hover(this.nearest(this.width / 2, this.height / 2, 60));
    }
  }

  Fieldmark.map = (options) => {
    const plane = new Plane(options);
    return { element: plane.element, pin: (i) => plane.pin(i), forget: () => plane.forget() };
  };
})();
