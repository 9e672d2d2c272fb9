"use strict";
/* Photos that are dropped, chosen, pasted or taken.

   Fieldmark.intake({onPhotos, onProblem})  -> {zone, choose(more), take(more)}: the field that they are dropped on, and
       what its two buttons do. onPhotos(files, more): more, where they belong to those that are there. onProblem(sentence).
       Photos may be dropped anywhere on the page, and pasted wherever no text is being typed. */

(() => {
  const { element } = Fieldmark;

  /* A phone's own camera is better than a picture of a video. */
  const onPhone = () => matchMedia("(pointer: coarse)").matches;

  function opened(capture, then) {
    const field = element("input", {
      type: "file",
      accept: capture ? "image/*" : "image/*,.heic,.heif",
      multiple: !capture,
      capture: capture ? "environment" : null,
    });
    field.addEventListener("change", () => then([...field.files]));
    field.click();
  }

  /* The files that a drop or the clipboard holds, or a sentence on why there are none. */
  function files(data) {
    const items = [...data.items].filter((item) => item.kind === "file");
    const folder = items.some((item) => item.webkitGetAsEntry && (item.webkitGetAsEntry() || {}).isDirectory);
    if (folder) return "That was a folder. Drop the photos in it, those of one subject together.";
    if (data.files.length) return [...data.files];
    return data.types.length ? "That was text or a link, not a photo. Save the photo first, then drop its file." : [];
  }

  function listen(zone, { onPhotos, onProblem }) {
    const take = (data) => {
      const found = files(data);
      if (typeof found === "string") onProblem(found);
      else if (found.length) onPhotos(found, false);
    };
    let depth = 0;
    const mark = (step) => {
      depth = Math.max(0, depth + step);
      document.body.classList.toggle("dropping", depth > 0);
    };
    document.addEventListener("dragenter", (event) => {
      event.preventDefault();
      mark(1);
    });
    document.addEventListener("dragleave", () => mark(-1));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(-depth);
      take(event.dataTransfer);
    });
    document.addEventListener("paste", (event) => {
      const typing = event.target.closest && event.target.closest("input, textarea");
      const text = event.clipboardData.types.includes("text/plain"); // beside which spreadsheets put a picture of it
      if (typing && (text || !event.clipboardData.files.length)) return;
      event.preventDefault();
      take(event.clipboardData);
    });
  }

  Fieldmark.intake = ({ onPhotos, onProblem }) => {
    const choose = (more = false) => opened(false, (chosen) => chosen.length && onPhotos(chosen, more));
    const take = (more = false) => {
      if (onPhone()) return opened(true, (taken) => taken.length && onPhotos(taken, more));
      return Fieldmark.camera({ onPhoto: (file) => onPhotos([file], more), onProblem });
    };
    const button = (text, kind, then) =>
      element("button", { class: `button ${kind}`, type: "button", on: { click: () => then(false) } }, text);
    const zone = element(
      "div",
      { class: "zone" },
      element("span", { class: "zone-mark", "aria-hidden": "true" }, "⤓"),
      element("p", { class: "zone-title" }, Fieldmark.words("Drop a photo here", "Your photo")),
      element("div", { class: "row" }, button("Choose photos", "main", choose), button("Take a photo", "", take)),
      element(
        "p",
        { class: "small faint" },
        Fieldmark.words("or paste one. ", ""),
        "Several photos of one subject count together."
      )
    );
    listen(zone, { onPhotos, onProblem });
    return { zone, choose, take };
  };
})();
