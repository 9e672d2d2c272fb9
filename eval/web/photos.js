"use strict";
/* Photos on a page: alone, in a grid, and as evidence (a query beside its nearest references).

   A photo is one of {src: "address"}, {sheet, place} (a place in a Sheets) and {absent: "why it cannot be shown"}.

   new Fieldmark.Sheets({addresses, side, columns, rows})  many small square photos in few pictures, row by row:
       .photo(place) -> {sheet, place}; .draw(context, place, x, y, side) onto a canvas -> whether it could be drawn yet;
       .whenLoaded(f) calls f when another picture has come.
   Fieldmark.photo(photo, alt)                             -> the photo in a square.
   Fieldmark.tile({photo, alt, caption, note, rank, frame, onSelect})  -> <li>; frame: "right", "wrong", "same" or
       "other" (default), "bare" for none; right and wrong are marked beside their colour. With onSelect it is a button.
   Fieldmark.tiles(tiles, label)                           -> a grid of what `tile` takes.
   Fieldmark.evidence({photo, alt, title, subtitle, frame, tiles, label})  -> a query at the left, its tiles beside. */

(() => {
  const { element } = Fieldmark;
  const MARKS = { right: "✓", wrong: "✗" };
  const SAID = { right: "right", wrong: "wrong", same: "same label" };

  Fieldmark.Sheets = class {
    constructor({ addresses, side, columns, rows }) {
      Object.assign(this, { addresses, side, columns, rows, pictures: [], waiting: [] });
    }

    photo(place) {
      return { sheet: this, place };
    }

    where(place) {
      const each = this.columns * this.rows;
      const inside = place % each;
      return { number: Math.floor(place / each), column: inside % this.columns, row: Math.floor(inside / this.columns) };
    }

    whenLoaded(then) {
      this.waiting.push(then);
    }

    draw(context, place, x, y, side) {
      const { number, column, row } = this.where(place);
      let picture = this.pictures[number];
      if (!picture) {
        picture = this.pictures[number] = new Image();
        picture.addEventListener("load", () => this.waiting.forEach((then) => then()));
        picture.src = this.addresses[number];
      }
      if (!picture.complete || !picture.naturalWidth) return false;
      context.drawImage(picture, column * this.side, row * this.side, this.side, this.side, x, y, side, side);
      return true;
    }

    style(place) {
      const { number, column, row } = this.where(place);
      const percent = (step, steps) => `${steps > 1 ? (100 * step) / (steps - 1) : 0}%`;
      return {
        "background-image": `url("${this.addresses[number]}")`,
        "background-size": `${100 * this.columns}% ${100 * this.rows}%`,
        "background-position": `${percent(column, this.columns)} ${percent(row, this.rows)}`,
      };
    }
  };

  Fieldmark.photo = (photo, alt) => {
    const box = element("span", { class: "photo" });
    if (photo.src) {
      const here = /^(data|blob):/.test(photo.src);
      const image = element("img", { src: photo.src, alt, loading: !here && "lazy" });
      image.addEventListener("error", () => box.replaceChildren(absent(alt)));
      box.append(image);
    } else if (photo.sheet) {
      box.append(element("span", { class: "sprite", role: "img", "aria-label": alt, style: photo.sheet.style(photo.place) }));
    } else box.append(absent(photo.absent || alt));
    return box;
  };

  const absent = (why) => element("span", { class: "absent" }, Fieldmark.breakable(why));

  function framed({ photo, alt, rank, frame, onSelect }) {
    const mark = MARKS[frame];
    const said = [rank, SAID[frame]].filter((part) => part !== undefined).join(", ");
    const shown = [rank, mark].filter((part) => part !== undefined).join(" ");
    const inner = [
      Fieldmark.photo(photo, alt),
      shown && element("span", { class: "mark", "aria-hidden": "true" }, shown),
      said && element("span", { class: "only-read" }, said),
    ];
    if (!onSelect) return element("div", { class: "frame" }, inner);
    const name = photo.absent ? alt : null; // which a picture says by itself
    return element("button", { class: "frame", type: "button", "aria-label": name, on: { click: onSelect } }, inner);
  }

  Fieldmark.tile = (tile) =>
    element(
      "li",
      { class: `tile ${tile.frame || "other"}` },
      framed(tile),
      tile.caption && element("span", { class: "caption", title: tile.caption }, Fieldmark.breakable(tile.caption)),
      tile.note && element("span", { class: "note", title: tile.note }, Fieldmark.breakable(tile.note))
    );

  Fieldmark.tiles = (tiles, label) => element("ul", { class: "tiles", "aria-label": label }, tiles.map(Fieldmark.tile));

  Fieldmark.evidence = ({ photo, alt, title, subtitle, frame, tiles, label }) =>
    element(
      "div",
      { class: "evidence" },
      element(
        "div",
        { class: "asked" },
        element("div", { class: `tile ${frame || "bare"}` }, framed({ photo, alt, frame })),
        element("div", { class: "stack small" }, element("span", { class: "title" }, Fieldmark.breakable(title)),
          subtitle && element("span", { class: "subtitle" }, Fieldmark.breakable(subtitle)))
      ),
      Fieldmark.tiles(tiles, label)
    );
})();
