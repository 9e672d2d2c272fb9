"use strict";
/* What an answer says, and the references that it is made from.

   Fieldmark.verdict(answer, info, photos)       -> an element with the label and how sure that is, or that it is
       unknown, or a reference itself; photos: how many were asked about as one subject.
   Fieldmark.references(answer, {onSelect})      -> the neighbours as photos, grouped by label; onSelect(neighbour).
   Fieldmark.doubt(answer, photos)               -> why a person should look at an answer, in a sentence; null where it
       is sure.
   Fieldmark.asText(answer, photos)              -> an answer in a sentence, for those who listen.
   `answer` is as index.query --json prints it, `info` as GET /info gives it. */

(() => {
  const { element, percent, number, plural, short } = Fieldmark;
  const whole = (share) => (share > 0 && share < 0.005 ? "under 1\u202f%" : percent(share, 0));
  const surely = (probability) => (probability >= 0.995 ? "over 99\u202f%" : whole(probability)); // nothing is certain

  const chip = (label, share) =>
    element(
      "li",
      null,
      element(
        "a",
        { class: "chip", href: Fieldmark.link("browse", label), title: label },
        element("bdi", null, short(label, 60)),
        share !== undefined && element("span", { class: "faint" }, ` ${surely(share)}`)
      )
    );
  const chips = (labels, name) => element("ul", { class: "chips", "aria-label": name }, labels);

  /* The label that a photo itself has as a reference; null where it is none, or one of several photos. */
  function own(answer, photos) {
    const same = answer.neighbours.filter((one) => one.same_photo);
    return photos === 1 && same.length ? same[0].label : null;
  }

  /* What the other references say of a photo that is one itself. */
  function otherwise(answer) {
    const [first] = answer.candidates;
    if (answer.known === false || !first) return "By the others it would be unknown.";
    const sure = answer.probability === null ? `${whole(first.share)} of their vote` : surely(answer.probability);
    return `By the others it is most likely ${short(answer.label || first.label)}, with ${sure}.`;
  }

  /* The words of a verdict: what stands above the name, the name, how sure, and what that means. */
  function words(answer, info, photos) {
    const itself = own(answer, photos);
    if (itself !== null)
      return {
        kicker: "This very photo is a reference of",
        name: itself,
        lead: `It has no vote on itself. ${otherwise(answer)}`,
      };
    const kinds = `one of the ${info ? plural(info.classes, "label") : "labels"} of this index`;
    const first = answer.candidates[0];
    if (answer.known === false)
      return {
        name: "Unknown",
        lead: "Not near enough to any reference to be named.",
      };
    if (answer.probability === null)
      return {
        kicker: "Most like",
        name: answer.label || (first && first.label) || "Nothing",
        figure: first && whole(first.share),
        unit: "of the vote",
        lead: "The index is not calibrated, so nobody knows how often this is right; index.calibrate finds out.",
      };
    const often = (probability) => (probability >= 0.995 ? "more than 99" : `about ${Math.round(100 * probability)}`);
    const promise = (probability) =>
      `Of answers that are this sure, ${often(probability)} in 100 are right, if the subject is ${kinds}.`;
    if (answer.level === "label")
      return {
        kicker: "This is most likely",
        name: answer.label,
        figure: surely(answer.probability),
        unit: "sure",
        share: answer.probability,
        lead: promise(answer.probability),
      };
    if (answer.level)
      return {
        kicker: `The ${answer.level} is`,
        name: answer.taxon,
        figure: surely(answer.taxon_probability),
        unit: "sure",
        share: answer.taxon_probability,
        lead:
          `${promise(answer.taxon_probability)} ` +
          `Within it most likely ${short(answer.label)}, with ${surely(answer.probability)}.`,
      };
    return {
      kicker: "Not sure. Perhaps",
      name: answer.label,
      figure: surely(answer.probability),
      unit: "sure",
      share: answer.probability,
      lead: promise(answer.probability),
    };
  }

  /* An index calls some photos of its own labels unknown, too: what this one then is. */
  function guesses(answer, info) {
    if (answer.known !== false || !answer.candidates.length) return null;
    const calibration = info && info.calibration;
    const refused = calibration && Math.round(100 * (1 - calibration.known_accepted));
    return element(
      "div",
      { class: "stack tight" },
      element("h3", null, "If it is one of these, then most likely"),
      chips(
        answer.candidates.slice(0, 5).map(({ label, share }) => chip(label, share)),
        "Nearest guesses"
      ),
      calibration &&
        element(
          "p",
          { class: "small faint" },
          `Of photos of the labels of this index, ${refused ? `about ${refused} in 100 are` : "fewer than 1 in 100 is"} `,
          "called unknown as well."
        )
    );
  }

  function labelSet(answer) {
    if (answer.known === false || !answer.label_set) return null;
    const set = answer.label_set;
    const promise = `${percent(answer.coverage, 0)} of such sets hold the right label`;
    if (!set.length)
      return element("p", { class: "small faint" }, "No label fits the photo as well as most references fit theirs.");
    if (set.length === 1 && set[0] === answer.label)
      return element("p", { class: "small faint" }, `The label set is this label alone: ${promise}.`);
    const more = set.length > 12 && element("li", { class: "small faint" }, `and ${set.length - 12} more`);
    return element(
      "div",
      { class: "stack tight" },
      element("h3", null, "It is one of these"),
      chips([...set.slice(0, 12).map((label) => chip(label)), more].filter(Boolean), "Label set"),
      element("p", { class: "small faint" }, `${promise}.`)
    );
  }

  function remarks(answer, photos) {
    const stale =
      answer.calibration_stale &&
      "Many references have changed since this index was calibrated, so its probabilities may no longer hold; " +
        "index.calibrate puts that right.";
    const lines = [...answer.quality.map(Fieldmark.sentence), stale].filter(Boolean);
    const among =
      photos > 1 &&
      answer.neighbours.some((one) => one.same_photo) &&
      "One of these very photos is among the references; it has no vote.";
    return [
      lines.length > 0 &&
        element(
          "ul",
          { class: "remarks" },
          lines.map((line) => element("li", null, line))
        ),
      among && element("p", { class: "small faint" }, among),
    ];
  }

  Fieldmark.verdict = (answer, info, photos = 1) => {
    const { kicker, name, figure, unit, share, lead } = words(answer, info, photos);
    const itself = own(answer, photos) !== null;
    const meter =
      share !== undefined &&
      element(
        "span",
        { class: "sure-bar", "aria-hidden": "true" },
        element("i", { style: { width: `${100 * Math.min(1, share)}%` } })
      );
    return element(
      "div",
      { class: `verdict ${answer.known === false && !itself ? "unknown" : ""}` },
      kicker && element("p", { class: "kicker" }, kicker),
      element("h2", { class: "name", title: name }, Fieldmark.breakable(short(name, 120))),
      figure && element("p", { class: "sure" }, element("strong", null, figure), ` ${unit}`, meter),
      element("p", { class: "small faint" }, lead),
      !itself && [guesses(answer, info), labelSet(answer)],
      remarks(answer, photos)
    );
  };

  Fieldmark.asText = (answer, photos = 1) => {
    const itself = own(answer, photos);
    if (itself !== null) return `This very photo is a reference of ${short(itself)}. ${otherwise(answer)}`;
    if (answer.known === false) {
      const near = answer.candidates
        .slice(0, 3)
        .map(({ label }) => short(label))
        .join(", ");
      return `Unknown. Nearest guesses: ${near || "none"}.`;
    }
    const { kicker, name, figure, unit } = words(answer, null, photos);
    return `${kicker} ${short(name)}${figure ? `, ${figure} ${unit}` : ""}.`;
  };

  Fieldmark.doubt = (answer, photos = 1) => {
    if (own(answer, photos) !== null) return null;
    if (answer.known === false) return "unknown";
    if (answer.known === null) return null;
    if (answer.level !== "label") return answer.level ? `sure of the ${answer.level} only` : "not sure";
    if (answer.label_set && answer.label_set.length > 1) return `${answer.label_set.length} labels are possible`;
    if (answer.label_set && !answer.label_set.length) return "no label fits";
    return answer.quality.length ? "the photo is poor" : null;
  };

  function tile(neighbour, said, onSelect) {
    const similarity = number(neighbour.similarity);
    return {
      photo: Fieldmark.referencePhoto(neighbour.id),
      alt: `Why: compare with reference ${neighbour.rank}, ${short(neighbour.label)}, similarity ${similarity}`,
      rank: neighbour.rank,
      frame: neighbour.label === said ? "same" : "other",
      note: `similarity ${similarity}${neighbour.same_photo ? ", this very photo" : ""}`,
      onSelect: () => onSelect(neighbour),
    };
  }

  /* The neighbours by label: first those with the largest share of the vote. */
  function groups(answer) {
    const shares = new Map(answer.candidates.map(({ label, share }) => [label, share]));
    const found = new Map();
    for (const one of answer.neighbours) found.set(one.label, [...(found.get(one.label) || []), one]);
    return [...found]
      .map(([label, members]) => ({ label, members, share: shares.get(label) }))
      .sort((a, b) => (b.share || 0) - (a.share || 0) || a.members[0].rank - b.members[0].rank);
  }

  Fieldmark.references = (answer, { onSelect }) =>
    element(
      "div",
      { class: "stack groups" },
      groups(answer).map(({ label, members, share }) =>
        element(
          "section",
          { class: "group", "aria-label": `References of ${short(label)}` },
          element(
            "header",
            { class: "row" },
            element("h3", null, element("a", { href: Fieldmark.link("browse", label), title: label }, short(label))),
            element(
              "span",
              { class: "small faint" },
              share === undefined ? "no vote" : `${whole(share)} of the vote`,
              `, ${plural(members.length, "photo")}`
            )
          ),
          Fieldmark.tiles(
            members.map((one) => tile(one, answer.label, onSelect)),
            `References of ${short(label)}`
          )
        )
      )
    );
})();
