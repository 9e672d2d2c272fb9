"use strict";
/* A photo on which places are lit by what they add, and can be pointed at.

   Fieldmark.places({name, picture, height, width, region, onPoint})  -> a Places:
       picture: {draw(pen, width, height), width, height}; height and width: of the grid of places; region: [left, top,
       right, bottom], which part of the picture the grid divides, as shares of its sides. onPoint(place, pinned): a
       place of the grid is pointed at, row by row; -1 for none.
       .element
       .light(values, {most, light, height, width}): what each place adds; what adds most, by default the largest value,
       is lit whole; null for none; light: "for" (default) or "against"; height and width: of the grid of the values,
       where it is not that of the places
       .ring(place): a place is ringed
       .framed: there is more of the picture than the grid divides, and a frame around that
   Fieldmark.pictureOf(image, box)  -> such a picture of an image, or of the part of it in a box of pixels.
   Fieldmark.pictureWithin(picture, region)  -> the part of a picture in such a region, as a picture. */

(() => {
  const { element } = Fieldmark;
  const DARK = 0.62; // how much of the photo is covered where a place adds nothing
  const TINT = 0.3; // and where one adds most
  const NIGHT = [9, 14, 26]; // the colours are those of index/light.py, which every colour vision tells apart
  const LIGHT = { for: [255, 171, 25], against: [70, 150, 255] };
  const HIGH = 62; // hundredths of the window that a photo may be high
  const SMOOTH = 24; // pixels of the veil a place
  const UNSEEN = 0.01; // of a side: so much outside of the region is worth a frame
  const RING = [
    ["rgba(0, 0, 0, 0.75)", 4],
    ["#ffffff", 2],
  ];
  const FRAME = [
    ["rgba(0, 0, 0, 0.4)", 3],
    ["rgba(255, 255, 255, 0.85)", 1],
  ];

  Fieldmark.pictureOf = (image, box) => {
    const [left, top, right, bottom] = box || [0, 0, image.naturalWidth, image.naturalHeight];
    const [width, height] = [right - left, bottom - top];
    return {
      width,
      height,
      draw: (pen, wide, high) => pen.drawImage(image, left, top, width, height, 0, 0, wide, high),
    };
  };

  Fieldmark.pictureWithin = (picture, [left, top, right, bottom]) => {
    const [across, down] = [right - left, bottom - top];
    return {
      width: picture.width * across,
      height: picture.height * down,
      draw: (pen, wide, high) => {
        pen.save();
        pen.translate((-left * wide) / across, (-top * high) / down);
        picture.draw(pen, wide / across, high / down);
        pen.restore();
      },
    };
  };

  /* A value between the centres of places: cosine steps, so that there are no edges to be seen. */
  function between(values, width, height, x, y) {
    const [column, row] = [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
    const [left, top] = [Math.floor(column), Math.floor(row)];
    const ease = (part) => part * part * (3 - 2 * part);
    const [across, down] = [ease(column - left), ease(row - top)];
    const at = (r, c) => values[Math.min(r, height - 1) * width + Math.min(c, width - 1)];
    const mix = (one, other, part) => one + (other - one) * part;
    return mix(
      mix(at(top, left), at(top, left + 1), across),
      mix(at(top + 1, left), at(top + 1, left + 1), across),
      down
    );
  }

  /* What lies over the photo: night where a place adds nothing, and evenly more of the light the more it adds. */
  function veil(values, width, height, most, light) {
    const canvas = element("canvas", { width: width * SMOOTH, height: height * SMOOTH });
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(canvas.width, canvas.height);
    for (let y = 0, at = 0; y < canvas.height; y++)
      for (let x = 0; x < canvas.width; x++, at += 4) {
        const value = between(values, width, height, (x + 0.5) / SMOOTH - 0.5, (y + 0.5) / SMOOTH - 0.5);
        const share = Math.min(1, Math.max(0, value / most));
        const [dark, lit] = [DARK * (1 - share), TINT * share];
        for (let channel = 0; channel < 3; channel++)
          image.data[at + channel] = (NIGHT[channel] * dark + light[channel] * lit) / (dark + lit);
        image.data[at + 3] = 255 * (dark + lit);
      }
    pen.putImageData(image, 0, 0);
    return canvas;
  }

  function stroked(pen, rectangle, lines) {
    for (const [colour, width] of lines) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.strokeRect(...rectangle);
    }
  }

  class Places {
    constructor(options) {
      Object.assign(this, { at: -1, pinned: false, ringed: -1 }, options);
      this.canvas = element("canvas", {
        tabindex: this.onPoint ? "0" : null,
        role: this.onPoint ? "application" : "img",
        "aria-roledescription": this.onPoint ? "photo with places" : null,
        "aria-label": this.onPoint
          ? `${this.name}. Arrow keys point at a place, Enter holds it, Escape lets go.`
          : this.name,
      });
      this.element = element("div", { class: "places" }, this.canvas);
      this.element.style.aspectRatio = `${this.picture.width} / ${this.picture.height}`;
      this.element.style.maxWidth = `${(HIGH * this.picture.width) / this.picture.height}vh`;
      const [left, top, right, bottom] = this.region;
      this.framed = Math.max(left, top, 1 - right, 1 - bottom) > UNSEEN;
      new ResizeObserver(() => this.draw()).observe(this.element);
      if (this.onPoint) this.listen();
    }

    light(values, { most = null, light = "for", height = this.height, width = this.width } = {}) {
      const greatest = () => most ?? Math.max(...values, 1e-12);
      this.veil = values && veil(values, width, height, greatest(), LIGHT[light]);
      this.draw();
    }

    ring(place) {
      this.ringed = place;
      this.draw();
    }

    draw() {
      const wide = this.element.clientWidth;
      if (!wide) return;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const [width, height] = [wide, (wide * this.picture.height) / this.picture.width];
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      const pen = this.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.imageSmoothingQuality = "high";
      this.picture.draw(pen, width, height);
      const [left, top, right, bottom] = this.region;
      const pixel = (value) => Math.round(value * ratio) / ratio; // between pixels there would be a seam
      const [x, y] = [pixel(left * width), pixel(top * height)];
      const inside = [x, y, pixel(right * width) - x, pixel(bottom * height) - y];
      if (this.veil) {
        pen.fillStyle = `rgba(${NIGHT.join(",")}, ${DARK})`;
        pen.beginPath();
        pen.rect(0, 0, width, height);
        pen.rect(...inside);
        pen.fill("evenodd");
        pen.drawImage(this.veil, ...inside);
      }
      if (this.framed) stroked(pen, [x - 0.5, y - 0.5, inside[2] + 1, inside[3] + 1], FRAME); // on whole pixels
      for (const place of [this.ringed, this.at]) if (place >= 0) this.outline(pen, place, inside);
    }

    outline(pen, place, [left, top, width, height]) {
      const [wide, high] = [width / this.width, height / this.height];
      const [x, y] = [left + (place % this.width) * wide, top + Math.floor(place / this.width) * high];
      stroked(pen, [x + 2, y + 2, wide - 4, high - 4], RING);
    }

    point(place, pinned) {
      if (place === this.at && pinned === this.pinned) return;
      Object.assign(this, { at: place, pinned });
      this.draw();
      this.onPoint(place, pinned);
    }

    under(event) {
      const seen = this.canvas.getBoundingClientRect();
      const [left, top, right, bottom] = this.region;
      const x = ((event.clientX - seen.left) / seen.width - left) / (right - left);
      const y = ((event.clientY - seen.top) / seen.height - top) / (bottom - top);
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return -1;
      return Math.floor(y * this.height) * this.width + Math.floor(x * this.width);
    }

    listen() {
      const on = (name, then) => this.canvas.addEventListener(name, then);
      on("pointermove", (event) => {
        if (!this.pinned && event.pointerType !== "touch") this.point(this.under(event), false);
      });
      on("pointerleave", () => {
        if (!this.pinned) this.point(-1, false);
      });
      on("click", (event) => {
        const place = this.under(event);
        const again = this.pinned && place === this.at;
        this.point(again ? -1 : place, !again && place >= 0);
      });
      on("keydown", (event) => this.key(event));
    }

    key(event) {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (step) {
        const middle = this.at < 0;
        const [row, column] = middle
          ? [Math.floor(this.height / 2), Math.floor(this.width / 2)]
          : [Math.floor(this.at / this.width), this.at % this.width];
        const clamp = (value, most) => Math.min(most - 1, Math.max(0, value));
        const [down, across] = middle ? [0, 0] : step;
        this.point(clamp(row + down, this.height) * this.width + clamp(column + across, this.width), true);
      } else if (event.key === "Enter" || event.key === " ") this.point(this.at, this.at >= 0 && !this.pinned);
      else if (event.key === "Escape") this.point(-1, false);
      else return;
      event.preventDefault();
    }
  }

  Fieldmark.places = (options) => new Places(options);
})();
