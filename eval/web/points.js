"use strict";
/* What the map (map.js) is drawn and searched with; no page needs to call it.

   Fieldmark.points.gridded(x, y)   -> {px, py, first, order, wide, high}: points in [0, 1], of which they take
       wide x high in the middle, and the cells of a grid that they lie in:
       those of cell c are order[first[c]] to order[first[c + 1] - 1]; points that are NaN lie nowhere.
   Fieldmark.points.disc(radius)    -> a disc with a smooth edge, for `stamp`.
   Fieldmark.points.stamp(image, disc, x, y, [r, g, b], strength)  -> the disc painted over the pixels of an ImageData.
   Fieldmark.points.cross(pen, x, y, colour)  -> a cross hair on a canvas.
   Fieldmark.points.channels(colour)  -> [r, g, b] of a CSS colour.
   Fieldmark.points.middles(grid, codes, classes)  -> [{code, count, x, y, top}], the largest class first: where a class
       has its middle, and the upper end of what lies around that. */

(() => {
  const CELLS = 256;
  const NEAR = 0.9; // the share of a class that its name stands above; the others may lie anywhere

  function gridded(x, y) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i])) continue;
      left = Math.min(left, x[i]); right = Math.max(right, x[i]);
      top = Math.min(top, y[i]); bottom = Math.max(bottom, y[i]);
    }
    const size = Math.max(right - left, bottom - top) || 1;
    const px = x.map((value) => (value - (left + right) / 2) / size + 0.5);
    const py = y.map((value) => 0.5 - (value - (top + bottom) / 2) / size);
    const cell = (i) => Math.min(CELLS - 1, Math.floor(py[i] * CELLS)) * CELLS + Math.min(CELLS - 1, Math.floor(px[i] * CELLS));
    const first = new Int32Array(CELLS * CELLS + 1);
    const there = [];
    for (let i = 0; i < px.length; i++) if (!Number.isNaN(px[i])) { there.push(i); first[cell(i) + 1]++; }
    for (let c = 0; c < CELLS * CELLS; c++) first[c + 1] += first[c];
    const next = first.slice();
    const order = new Int32Array(there.length);
    for (const i of there) order[next[cell(i)]++] = i;
    return { px, py, first, order, wide: Math.max((right - left) / size, 0.01), high: Math.max((bottom - top) / size, 0.01) };
  }

  /* A disc with a smooth edge: the pixels that it touches, and how much of each it covers. */
  function disc(radius) {
    const reach = Math.ceil(radius + 0.5);
    const [across, down, cover] = [[], [], []];
    for (let row = -reach; row <= reach; row++)
      for (let column = -reach; column <= reach; column++) {
        const share = Math.min(1, radius + 0.5 - Math.hypot(row, column));
        if (share > 0) { across.push(column); down.push(row); cover.push(share); }
      }
    return { reach, across: Int32Array.from(across), down: Int32Array.from(down), cover: Float32Array.from(cover) };
  }

  function stamp(image, { reach, across, down, cover }, atX, atY, [red, green, blue], strength) {
    const { width, height, data } = image;
    const [x, y] = [Math.round(atX), Math.round(atY)];
    if (x < reach || y < reach || x + reach >= width || y + reach >= height) return;
    for (let pixel = 0; pixel < cover.length; pixel++) {
      const at = 4 * ((y + down[pixel]) * width + x + across[pixel]);
      const share = cover[pixel] * strength;
      data[at] += (red - data[at]) * share;
      data[at + 1] += (green - data[at + 1]) * share;
      data[at + 2] += (blue - data[at + 2]) * share;
    }
  }

  function cross(pen, x, y, colour) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [a, b] of [[-14, -5], [5, 14]]) { pen.moveTo(x + a, y); pen.lineTo(x + b, y); pen.moveTo(x, y + a); pen.lineTo(x, y + b); }
    pen.stroke();
  }

  const channels = (colour) => {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };

  /* Where the name of each class goes: the middle of its points, the largest class first. */
  function middles({ px, py, order }, codes, classes) {
    const members = Array.from({ length: classes }, () => []);
    for (const i of order) if (codes[i] >= 0) members[codes[i]].push(i);
    const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    const around = (some, x, y) => {
      const far = (i) => Math.hypot(px[i] - x, py[i] - y);
      return [...some].sort((a, b) => far(a) - far(b)).slice(0, Math.ceil(NEAR * some.length));
    };
    return members
      .map((some, code) => {
        const [x, y] = [median(some.map((i) => px[i])), median(some.map((i) => py[i]))];
        return { code, count: some.length, x, y, top: around(some, x, y).reduce((least, i) => Math.min(least, py[i]), y) };
      })
      .filter((one) => one.count > 0)
      .sort((a, b) => b.count - a.count);
  }

  Fieldmark.points = { CELLS, gridded, disc, stamp, cross, channels, middles };
})();
