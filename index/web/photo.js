"use strict";
/* The photos that are asked about, as this page holds them: nothing is changed or made smaller before it is sent.

   new Fieldmark.Taken(file)      -> {file, name, address, picture}: a photo; `address` shows it.
       .ready                     -> Promise of whether this browser can show it; then .width and .height are known.
       .read                      -> whether the service could read it; null as long as that is not known.
       .place()                   -> {src} or {absent}, as photos.js takes it.
   Fieldmark.referencePhoto(id)   -> {src}: the small picture of a reference.
   Fieldmark.said(error, of)      -> an element with what went wrong, and of what, for a place with role="alert".
   Fieldmark.busy(text)           -> an element that says what is waited for.
   Fieldmark.short(text, most)    -> a text that fits, the rest as "…".
   Fieldmark.names(photos)        -> what photos, or files, are called, in a few words.
   Fieldmark.words(mouse, touch)  -> what is said to whoever has a mouse and to whoever has a finger, as children.
   Fieldmark.link(view, ...values)  -> the address of a view: "#/browse/House%20Sparrow". */

(() => {
  const { element } = Fieldmark;
  const UNSEEN = "This browser cannot show this kind of file.";
  const NAMED = 3;
  const READ = new Map([
    [null, `${UNSEEN} The service may still be able to read it.`],
    [true, `${UNSEEN} The service can read it.`],
    [false, "Neither this browser nor the service can read this file."],
  ]);

  Fieldmark.Taken = class {
    constructor(file) {
      this.file = file;
      this.name = file.name || "photo";
      this.read = null;
      this.address = URL.createObjectURL(file);
      this.picture = new Image();
      this.ready = new Promise((resolve) => {
        this.picture.addEventListener("load", () => resolve(true));
        this.picture.addEventListener("error", () => resolve(false));
      });
      this.ready.then((shown) => {
        this.unseen = !shown;
        [this.width, this.height] = [this.picture.naturalWidth, this.picture.naturalHeight];
      });
      this.picture.src = this.address;
    }

    place() {
      return this.unseen ? { absent: READ.get(this.read) } : { src: this.address };
    }
  };

  Fieldmark.referencePhoto = (id) => ({ src: `/thumbnails/${encodeURIComponent(id)}` });

  Fieldmark.said = (error, of = "") => {
    if (!(error instanceof Fieldmark.Refused)) console.error(error);
    const told = error instanceof Fieldmark.Refused ? error.message : "Something went wrong on this page. Reload it.";
    return element("div", { class: "notice warns", role: "alert" }, element("p", null, of, told));
  };

  Fieldmark.busy = (text) =>
    element("p", { class: "busy" }, element("span", { class: "spinner", "aria-hidden": "true" }), text);

  Fieldmark.short = (text, most = 90) => {
    const whole = [...String(text)];
    return whole.length > most ? `${whole.slice(0, most - 1).join("")}…` : String(text);
  };

  Fieldmark.names = (photos) => {
    const some = photos.slice(0, NAMED).map(({ name }) => Fieldmark.short(name || "photo", 40));
    const more = photos.length - some.length;
    return some.join(", ") + (more ? ` and ${more} more` : "");
  };

  Fieldmark.words = (mouse, touch) => [
    element("span", { class: "by-mouse" }, mouse),
    element("span", { class: "by-touch" }, touch),
  ];

  Fieldmark.link = (view, ...values) => `#/${[view, ...values.map(encodeURIComponent)].join("/")}`;
})();
