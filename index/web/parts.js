"use strict";
/* The parts that an embedder has found by itself, each as a small picture of the photo to choose it by.

   Fieldmark.parts({grid, picture, onPart})  -> an element. grid: a photo's side of an explanation (explained.js), whose
       picture (places.js) it is. onPart(part): one is chosen; -1 for all places. */

(() => {
  const { element } = Fieldmark;
  const { positive } = Fieldmark.explained;

  /* What the network sees of the photo, small enough for a square, and lit. */
  function small({ region }, picture, { height, width, values }, name) {
    const seen = Fieldmark.pictureWithin(picture, region);
    const made = Fieldmark.places({ name, picture: seen, height, width, region: [0, 0, 1, 1] });
    made.element.style.maxWidth = `${100 * Math.min(1, seen.width / seen.height)}%`;
    made.light(positive(values));
    return made.element;
  }

  Fieldmark.parts = ({ grid, picture, onPart }) => {
    const all = { height: grid.height, width: grid.width, values: grid.shares };
    const buttons = [all, ...grid.parts].map((one, place) => {
      const name = place ? `Part ${place}` : "All places";
      return element(
        "button",
        { class: "part", type: "button", "aria-label": name, title: name, on: { click: () => choose(place) } },
        small(grid, picture, one, name),
        element("span", { "aria-hidden": "true" }, place || "All")
      );
    });
    const pressed = (place) =>
      buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === place)));
    const choose = (place) => {
      pressed(place);
      onPart(place - 1);
    };
    pressed(0);
    return element("div", { class: "parts", role: "group", "aria-label": "Light by" }, buttons);
  };
})();
