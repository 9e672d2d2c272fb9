"use strict";
/* What speaks for a reference, and what for the best one of another label.

   Fieldmark.rival({told, photo, box, picture, signal})  -> an element: told explains the photo and the reference
       (explained.js), picture is the photo's (places.js). It fills when the rival has been explained, too. */

(() => {
  const { element, number, short, service } = Fieldmark;
  const { positive } = Fieldmark.explained;

  /* The nearest reference of another label. */
  async function nearest({ told, photo, box, signal }) {
    const among = (answer) => (answer.neighbours || []).find((one) => one.label !== told.label && !one.same_photo);
    const answer = Fieldmark.ask.answer();
    if (answer && among(answer)) return among(answer);
    const { info } = Fieldmark.ask;
    const k = info && info.service.neighbours; // else as many as the service gives by itself
    const { answers } = await service.send("/search", { photo: photo.file, box: box && box.join(","), k }, { signal });
    return among(answers[0]);
  }

  /* The photo lit where it speaks for a reference, and that reference. */
  function side({ told, shares, most, picture, other }) {
    const name = short(told.label, 60);
    const { height, width, region } = told.query;
    const mine = Fieldmark.places({
      name: `Your photo, lit where it speaks for ${name}`,
      picture,
      height,
      width,
      region,
    });
    mine.light(positive(shares), { most, light: other ? "against" : "for" });
    const link = Fieldmark.link("why", told.id, told.label);
    return element(
      "div",
      { class: "card stack" },
      element("h3", { title: told.label, class: "breaks" }, "For ", Fieldmark.breakable(name)),
      element(
        "div",
        { class: "for" },
        mine.element,
        Fieldmark.photo(Fieldmark.referencePhoto(told.id), `Reference of ${name}`)
      ),
      element("p", { class: "small faint" }, `Similarity ${number(told.similarity)}`),
      other && element("a", { href: link }, "Compare place by place")
    );
  }

  async function compared({ told, photo, box, picture, signal }) {
    const other = await nearest({ told, photo, box, signal });
    if (!other) return element("div");
    const against = await Fieldmark.explained.ask({ photo, box, id: other.id, label: other.label, signal });
    const speaks = told.query.shares.map((value, at) => value - against.query.shares[at]);
    const most = Math.max(...speaks.map(Math.abs), 1e-12);
    const gap = told.similarity - against.similarity;
    const lead =
      `The nearest reference of another label is of ${short(against.label, 60)}, ${number(Math.abs(gap))} ` +
      `${gap < 0 ? "more" : "less"} similar. Lit is where your photo is more like the one than like the other.`;
    const sides = [
      side({ told, shares: speaks, most, picture }),
      side({ told: against, shares: speaks.map((value) => -value), most, picture, other: true }),
    ];
    return Fieldmark.section("rival", "What speaks for each", lead, element("div", { class: "two" }, sides));
  }

  Fieldmark.rival = (asked) => {
    const place = element("div", null, Fieldmark.busy("Looking at the best rival …"));
    compared(asked)
      .then((made) => place.replaceChildren(made))
      .catch((error) => {
        if (!Fieldmark.gone(error)) place.replaceChildren(Fieldmark.said(error));
      });
    return place;
  };
})();
