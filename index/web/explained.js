"use strict";
/* An explanation as the page works with it.

   Fieldmark.explained.ask({photo, box, id, label, signal})  -> what POST /explain says of a photo and a reference, its
       grids as flat lists, row by row, and `region`, what a grid divides as shares of its photo's sides. `parts` are
       {height, width, values}: their grids may be finer than that of the shares. `reference` and `pairs` are empty
       where nobody has a picture of the reference.
   .answering(told, ofQuery, place)  -> what each place of the other photo adds together with this place of the query,
       or of the reference
   .where(place, grid)               -> where a place is, as a person says it
   .positive(values) .strongest(values)
   .image(address)                   -> Promise of the picture there, null where there is none. */

(() => {
  const { service } = Fieldmark;

  const positive = (values) => values.map((value) => Math.max(0, value));

  function read(told) {
    const side = (one) =>
      one.shares && {
        ...one,
        region: divided(one),
        shares: one.shares.flat(),
        parts: one.parts && one.parts.map((part) => ({ height: part.length, width: part[0].length, values: part.flat() })),
      };
    return {
      ...told,
      id: told.reference.id,
      label: told.reference.label,
      query: side(told.query),
      reference: side(told.reference),
      pairs: told.pairs && told.pairs.flat(Infinity),
    };
  }

  function divided({ square: [left, top, right, bottom], region: [x, y, side] }) {
    const [wide, high] = [right - left, bottom - top];
    return [left + x * wide, top + y * high, left + (x + side) * wide, top + (y + side) * high];
  }

  function answering({ pairs, query, reference }, ofQuery, place) {
    const [mine, other] = [query.height * query.width, reference.height * reference.width];
    return ofQuery
      ? pairs.slice(place * other, (place + 1) * other)
      : Array.from({ length: mine }, (_, at) => pairs[at * other + place]);
  }

  const strongest = (values) => values.indexOf(Math.max(...values));

  function where(place, { width, height }) {
    const third = (at, most, names) => names[Math.min(2, Math.floor((3 * (at + 0.5)) / most))];
    const down = third(Math.floor(place / width), height, ["top", "middle", "bottom"]);
    const across = third(place % width, width, ["left", "middle", "right"]);
    return down === across ? "the middle" : `the ${down} ${across}`;
  }

  function image(address) {
    return new Promise((resolve) => {
      const made = new Image();
      made.addEventListener("load", () => resolve(made));
      made.addEventListener("error", () => resolve(null));
      made.src = address;
    });
  }

  async function ask({ photo, box, id, label, signal }) {
    const values = { photo: photo.file, reference: id, label, box: box && box.join(",") };
    return read(await service.send("/explain", values, { signal }));
  }

  Fieldmark.explained = { ask, answering, where, positive, strongest, image };
})();
