"use strict";
/* Curves and histograms as SVG, drawn anew for the width that there is, with what they show as a table for who cannot
   see them.

   An axis is {label, from, to, ticks (optional list), format (optional value -> text), log (optional)}.

   Fieldmark.curves({title, lead, x, y, series, rules, diagonal, height})   -> <figure>
       series: [{name, points: [[x, y], ...], low, high (optional lists: the ends of an interval), tone, dots}].
   Fieldmark.histogram({title, lead, x, y, edges, series, rules, height})   -> <figure>
       edges: n + 1 numbers; series: [{name, values: n numbers, tone}].
   rules: [{at, label}], upright lines across the plot; on curves also {x, y, label}, a point.
   tone: a colour of style.css: "accent" (default), "right", "wrong", "faint". Series differ by dashes too.
   Fieldmark.scale({low, mean, high})                                       -> a mean with its interval on 0 to 1. */

(() => {
  const { element, drawing, number } = Fieldmark;
  const DASHES = ["", "7 4", "2 4"];
  const PAPER = { width: 400, height: 230 }; // of a plot, whatever the screen is
  const MARGIN = { left: 44, right: 18, top: 34, bottom: 44 };

  function steps(from, to, most) {
    const rough = (to - from) / most;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((one) => one >= rough * 0.999);
    const found = [];
    for (let value = Math.ceil(from / step - 1e-9) * step; value <= to + step * 1e-6; value += step) found.push(value);
    return found;
  }

  const plain = (value) => String(+value.toPrecision(6)).replace("-", "\u2212");

  function measure(axis, start, end) {
    const by = axis.log ? Math.log : (value) => value;
    const [low, high] = [by(axis.from), by(axis.to)];
    const place = (value) => start + ((by(value) - low) / (high - low || 1)) * (end - start);
    return { place, format: axis.format || plain, ticks: axis.ticks || steps(axis.from, axis.to, Math.abs(end - start) / 50) };
  }

  const line = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
  const toned = (series, property) => ({ [property]: `var(--${series.tone || "accent"})` });

  function axes(across, up, x, y, width, height) {
    const [left, right, bottom] = [MARGIN.left, width - MARGIN.right, height - MARGIN.bottom];
    const text = (at, content) => drawing("text", at, content);
    return [
      up.ticks.map((value) => [
        drawing("line", { class: "grid", x1: left, x2: right, y1: up.place(value), y2: up.place(value) }),
        text({ x: left - 8, y: up.place(value) + 4, "text-anchor": "end" }, up.format(value)),
      ]),
      across.ticks.map((value) => [
        drawing("line", { class: "axis", x1: across.place(value), x2: across.place(value), y1: bottom, y2: bottom + 5 }),
        text({ x: across.place(value), y: bottom + 19, "text-anchor": "middle" }, across.format(value)),
      ]),
      drawing("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
      text({ x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
      text({ x: 0, y: 12 }, y.label),
    ];
  }

  function rules(some, across, up, width, height) {
    return (some || []).map((rule) => {
      if (rule.y === undefined) {
        const at = across.place(rule.at);
        const onLeft = at > width * 0.6;
        return [
          drawing("line", { class: "rule", x1: at, x2: at, y1: MARGIN.top - 4, y2: height - MARGIN.bottom }),
          drawing("text", { class: "rule-label", x: at + (onLeft ? -7 : 7), y: MARGIN.top + 8,
            "text-anchor": onLeft ? "end" : "start" }, rule.label),
        ];
      }
      const [left, top] = [across.place(rule.x), up.place(rule.y)];
      const onLeft = left > width * 0.55;
      return [
        drawing("circle", { cx: left, cy: top, r: 5, style: { fill: "var(--surface)", stroke: "var(--ink)", "stroke-width": 2 } }),
        drawing("text", { class: "rule-label", x: left + (onLeft ? -10 : 10), y: top + 18,
          "text-anchor": onLeft ? "end" : "start" }, rule.label),
      ];
    });
  }

  function key(series, filled) {
    if (series.length < 2) return null;
    const sample = (one, place) =>
      drawing("svg", { viewBox: "0 0 22 12", "aria-hidden": "true" },
        filled
          ? drawing("rect", { x: 1, y: 1, width: 20, height: 10, style: { ...toned(one, "fill"), ...toned(one, "stroke"),
              "fill-opacity": 0.28, "stroke-dasharray": DASHES[place % 3] } })
          : drawing("line", { x1: 1, x2: 21, y1: 6, y2: 6, style: { ...toned(one, "stroke"), "stroke-width": 2.5,
              "stroke-dasharray": DASHES[place % 3] } }));
    return element("ul", { class: "key" }, series.map((one, place) => element("li", null, sample(one, place), one.name)));
  }

  function figure({ title, lead, height = 300 }, series, filled, draw, told) {
    const plot = element("div", { class: "plot" });
    const readout = element("div", { class: "readout", hidden: true });
    let [last, printing] = [0, false];
    const redraw = () => {
      const [width, high] = printing ? [PAPER.width, PAPER.height] : [plot.clientWidth, height];
      if (!width || width === last) return;
      last = width;
      const svg = drawing("svg", { viewBox: `0 0 ${width} ${high}`, height: high, role: "img", "aria-label": title });
      draw(svg, width, high, readout);
      plot.replaceChildren(svg, readout);
    };
    new ResizeObserver(redraw).observe(plot);
    Fieldmark.onPrint((now) => { [last, printing] = [0, now]; redraw(); });
    const caption = element("figcaption", null, element("h3", null, title), lead && element("p", { class: "small faint" }, lead));
    const numbers = element("details", { class: "more" }, element("summary", null, "The numbers"));
    numbers.addEventListener("toggle", () => numbers.children.length < 2 && numbers.append(Fieldmark.table(told())));
    return element("figure", { class: "chart" }, caption, key(series, filled), plot, numbers);
  }

  function pointed(svg, width, height, readout, nearest) {
    const pointer = drawing("line", { class: "pointer", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" });
    svg.append(pointer);
    svg.addEventListener("pointermove", (event) => {
      const { at, lines } = nearest(event.clientX - svg.getBoundingClientRect().left);
      pointer.setAttribute("x1", at);
      pointer.setAttribute("x2", at);
      pointer.setAttribute("visibility", "visible");
      readout.replaceChildren(...lines.map((text) => element("div", null, text)));
      readout.hidden = false;
      readout.style.top = `${MARGIN.top}px`;
      readout.style.left = at < width / 2 ? `${at + 10}px` : "auto";
      readout.style.right = at < width / 2 ? "auto" : `${width - at + 10}px`;
    });
    svg.addEventListener("pointerleave", () => {
      pointer.setAttribute("visibility", "hidden");
      readout.hidden = true;
    });
  }

  const closest = (values, wanted) =>
    values.reduce((best, value, place) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? place : best), 0);

  Fieldmark.curves = (options) => {
    const { x, y, series } = options;
    const draw = (svg, width, height, readout) => {
      const across = measure(x, MARGIN.left, width - MARGIN.right);
      const up = measure(y, height - MARGIN.bottom, MARGIN.top);
      const at = ([one, other]) => [across.place(one), up.place(other)];
      svg.append(...axes(across, up, x, y, width, height).flat(3));
      if (options.diagonal)
        svg.append(drawing("path", { class: "grid", d: line([at([x.from, y.from]), at([x.to, y.to])]), "stroke-dasharray": "3 4" }));
      for (const [place, one] of series.entries()) {
        if (one.low) {
          const edge = (ends) => one.points.map(([value], i) => at([value, ends[i]]));
          svg.append(drawing("path", { class: "band", d: line([...edge(one.high), ...edge(one.low).reverse()]) + "Z", style: toned(one, "fill") }));
        }
        svg.append(drawing("path", { class: "curve", d: line(one.points.map(at)), "stroke-dasharray": DASHES[place % 3], style: toned(one, "stroke") }));
        if (one.dots)
          svg.append(...one.points.map((point) => drawing("circle", { cx: at(point)[0], cy: at(point)[1], r: 4, style: toned(one, "fill") })));
      }
      svg.append(...rules(options.rules, across, up, width, height).flat(2));
      pointed(svg, width, height, readout, (pixel) => {
        const first = series[0].points;
        const nearest = closest(first.map((point) => across.place(point[0])), pixel);
        const value = (one) => {
          const i = closest(one.points.map((point) => point[0]), first[nearest][0]);
          const ends = one.low ? ` (${up.format(one.low[i])} to ${up.format(one.high[i])})` : "";
          return `${one.name}: ${up.format(one.points[i][1])}${ends}`;
        };
        return { at: across.place(first[nearest][0]), lines: [`${x.label}: ${across.format(first[nearest][0])}`, ...series.map(value)] };
      });
    };
    const told = () => ({
      caption: options.title,
      columns: [{ title: "curve" }, { title: x.label, kind: "number" }, { title: y.label, kind: "number", digits: 4 },
        ...(series.some((one) => one.low) ? [{ title: "low", kind: "number", digits: 4 }, { title: "high", kind: "number", digits: 4 }] : [])],
      rows: series.flatMap((one) => one.points.map(([a, b], i) => [one.name, a, b, ...(one.low ? [one.low[i], one.high[i]] : [])])),
    });
    return figure(options, series, false, draw, told);
  };

  Fieldmark.histogram = (options) => {
    const { x, y, edges, series } = options;
    const draw = (svg, width, height, readout) => {
      const across = measure(x, MARGIN.left, width - MARGIN.right);
      const up = measure(y, height - MARGIN.bottom, MARGIN.top);
      svg.append(...axes(across, up, x, y, width, height).flat(3));
      for (const [place, one] of series.entries()) {
        const outline = one.values.flatMap((value, i) => [[edges[i], value], [edges[i + 1], value]]);
        const points = [[edges[0], 0], ...outline, [edges[edges.length - 1], 0]].map(([a, b]) => [across.place(a), up.place(b)]);
        svg.append(drawing("path", { class: "bars", d: line(points), "stroke-dasharray": DASHES[place % 3],
          style: { ...toned(one, "fill"), ...toned(one, "stroke") } }));
      }
      svg.append(...rules(options.rules, across, up, width, height).flat(2));
      pointed(svg, width, height, readout, (pixel) => {
        const middles = edges.slice(1).map((edge, i) => (edge + edges[i]) / 2);
        const i = closest(middles.map(across.place), pixel);
        const range = `${number(edges[i], 2)} to ${number(edges[i + 1], 2)}`;
        return { at: across.place(middles[i]), lines: [range, ...series.map((one) => `${one.name}: ${up.format(one.values[i])}`)] };
      });
    };
    const told = () => ({
      caption: options.title,
      columns: [{ title: "from", kind: "number" }, { title: "to", kind: "number" },
        ...series.map((one) => ({ title: one.name, kind: "number", digits: 4 }))],
      rows: edges.slice(1).map((edge, i) => [edges[i], edge, ...series.map((one) => one.values[i])]),
    });
    return figure(options, series, true, draw, told);
  };

  Fieldmark.scale = ({ low, mean, high }) =>
    drawing(
      "svg",
      { class: "scale", viewBox: "0 0 100 18", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawing("line", { class: "rail", x1: 0, x2: 100, y1: 9, y2: 9, "vector-effect": "non-scaling-stroke" }),
      drawing("line", { class: "range", x1: 100 * low, x2: 100 * high, y1: 9, y2: 9, "vector-effect": "non-scaling-stroke" }),
      drawing("line", { class: "mean", x1: 100 * mean, x2: 100 * mean, y1: 2, y2: 16, "vector-effect": "non-scaling-stroke" })
    );
})();
