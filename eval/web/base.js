"use strict";
/* Fieldmark's pages, the ground that the other scripts stand on. Everything is in the one global object `Fieldmark`.

   element(tag, attributes, ...children)  -> Element. Children: text, elements, lists of them; null and false are left
       out. Text is always text, never markup. Attributes: `class`; `on: {click: f}`; `style: {color: "red"}`; `data:
       {row: 3}`; `text`; true and false set and leave out; everything else as an attribute.
   drawing(tag, attributes, ...children)  -> the same for SVG.
   number(value, digits = 3)              -> "0.843"; count(1234) -> "1,234"; percent(0.843, digits = 1) -> "84.3 %";
       plural(2, "photo") -> "2 photos", plural(2, "class", "classes"); what is null or NaN is "–".
   breakable(name)                        -> a name that may break into lines after _ / . and -.
   content(id)                            -> the JSON value in the element of that id.
   typed(base64, "Float32")               -> the typed array that was packed, little-endian.
   blob(base64, type)                     -> an address of those bytes for `src` and `url()`.
   section(id, title, lead, ...children)  -> a section of the page with its heading; lead may be null.
   notice(kind, title, lines)             -> what must be seen; kind: "warns", "good" or "".
   facts([[name, value], ...])            -> a list of facts.
   brand(href)                            -> the mark and the name.
   themeSwitch()                          -> the button for light and dark; onTheme(f) calls f when that has changed.
   onPrint(f)                             calls f(true) before the page is printed, f(false) after that. Both return a
       function by which f is called no more.
   paint(name)                            -> a colour of style.css, such as "accent", as it is now.
   colours(n)                             -> n colours as [r, g, b] that are told apart, for the theme as it is now. */

const Fieldmark = (() => {
  const NOTHING = "–";
  const THIN = "\u202f";
  const SVG = "http://www.w3.org/2000/svg";
  const themed = new Set();
  const printed = new Set();

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, then] of Object.entries(value)) node.addEventListener(event, then);
      else if (name === "style")
        for (const [property, to] of Object.entries(value)) node.style.setProperty(property, to);
      else if (name === "data") Object.assign(node.dataset, value);
      else if (name === "text") node.textContent = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity))
      if (child !== null && child !== undefined && child !== false) node.append(child);
    return node;
  }

  const element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const drawing = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  const known = (value) => typeof value === "number" && Number.isFinite(value);
  const number = (value, digits = 3) => (known(value) ? value.toFixed(digits).replace("-", "\u2212") : NOTHING);
  const count = (value) => (known(value) ? value.toLocaleString("en") : NOTHING);
  const percent = (value, digits = 1) => (known(value) ? `${number(100 * value, digits)}${THIN}%` : NOTHING);
  const plural = (value, one, several = `${one}s`) => `${count(value)} ${value === 1 ? one : several}`;

  const breakable = (name) =>
    String(name ?? "").split(/(?<=[_/.-])(?=[^_/.-])/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));

  const content = (id) => JSON.parse(document.getElementById(id).textContent);

  function bytes(base64) {
    const text = atob(base64);
    const values = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) values[place] = text.charCodeAt(place);
    return values;
  }

  const typed = (base64, kind) => new globalThis[`${kind}Array`](bytes(base64).buffer);
  const blob = (base64, type) => URL.createObjectURL(new Blob([bytes(base64)], { type }));

  function section(id, title, lead, ...children) {
    const heading = element("h2", { id: `${id}-title` }, title);
    const header = element("header", null, heading, lead && element("p", null, lead));
    return element("section", { id, class: "section", "aria-labelledby": `${id}-title` }, header, children);
  }

  function notice(kind, title, lines) {
    const mark = { warns: "⚠ ", good: "✓ " }[kind] || "";
    const list = lines.length > 0 && element("ul", null, lines.map((line) => element("li", null, line)));
    const heading = element("h2", null, element("span", { "aria-hidden": "true" }, mark), title);
    return element("div", { class: `notice ${kind}`, role: "note" }, heading, list);
  }

  const facts = (pairs) =>
    element(
      "dl",
      { class: "facts" },
      pairs.map(([name, value]) => element("div", null, element("dt", null, name), element("dd", null, value)))
    );

  /* A wing with its bar: the field mark. */
  function brand(href) {
    const mark = drawing(
      "svg",
      { viewBox: "0 0 32 32", "aria-hidden": "true" },
      drawing("path", { d: "M3 24C5 12 14 5 29 4c-1 6-4 10-8 13 1 1 2 1 4 1-4 5-12 8-22 6z", fill: "currentColor" }),
      drawing("path", { d: "M11 19c4-1 9-4 12-9", fill: "none", stroke: "var(--paper)", "stroke-width": "2.6",
        "stroke-linecap": "round" })
    );
    return element(href ? "a" : "span", { class: "brand", href }, mark, "Fieldmark");
  }

  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  /* Tell somebody from now on, until what this returns is called. */
  function heard(listeners, then) {
    listeners.add(then);
    return () => listeners.delete(then);
  }

  function changed() {
    for (const then of themed) then();
  }

  function remembered(value) {
    try {
      if (value) localStorage.setItem("fieldmark-theme", value);
      return localStorage.getItem("fieldmark-theme");
    } catch {
      return null; // a page from disk may not be allowed to remember
    }
  }

  function themeSwitch() {
    const button = element("button", { class: "button", type: "button" });
    const told = () => {
      button.textContent = dark() ? "☀ Light" : "☾ Dark";
      button.setAttribute("aria-label", dark() ? "Change to light colours" : "Change to dark colours");
    };
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = remembered(dark() ? "light" : "dark") || (dark() ? "light" : "dark");
      changed();
    });
    themed.add(told);
    told();
    return button;
  }

  if (["light", "dark"].includes(remembered())) document.documentElement.dataset.theme = remembered();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);

  /* Paper is white, whatever the screen is, and nobody can open a fold on it (a chart's numbers are drawn above them). */
  window.addEventListener("beforeprint", () => {
    const { theme } = document.documentElement.dataset;
    const folds = [...document.querySelectorAll("details.more:not([open])")].filter((fold) => !fold.closest(".chart"));
    const turn = (now) => {
      for (const fold of folds) fold.open = now;
      changed();
      for (const then of printed) then(now);
    };
    document.documentElement.dataset.theme = "light";
    turn(true);
    window.addEventListener("afterprint", () => {
      if (theme) document.documentElement.dataset.theme = theme;
      else delete document.documentElement.dataset.theme;
      turn(false);
    }, { once: true });
  });

  const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /* OKLCH to sRGB (Ottosson 2020): steps of hue that look alike in lightness. */
  function rgb(lightness, chroma, hue) {
    const a = chroma * Math.cos(hue);
    const b = chroma * Math.sin(hue);
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    return [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ].map((linear) => {
      const value = Math.min(Math.max(linear, 0), 1);
      return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
    });
  }

  /* A few classes get even steps of hue; of many, neighbours differ by the golden angle, and in lightness too. */
  function colours(n) {
    const [base, step] = dark() ? [0.72, 0.085] : [0.6, 0.1];
    return Array.from({ length: n }, (_, place) => {
      const hue = n <= 8 ? 0.45 + (place * 2 * Math.PI) / n : 0.45 + place * 2.399963;
      const lightness = n <= 3 ? base : base + step * ((place % 3) - 1);
      return rgb(lightness, 0.135 - 0.02 * (Math.floor(place / 3) % 2), hue);
    });
  }

  return {
    element, drawing, number, count, percent, plural, breakable, content, typed, blob, section, notice, facts, brand, themeSwitch,
    onTheme: (then) => heard(themed, then), onPrint: (then) => heard(printed, then), paint, colours,
  };
})();
