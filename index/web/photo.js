"use strict";
/* The photos that are asked about, as this page holds them: nothing is changed or made smaller before it is sent.

   new Fieldmark.Taken(file)      -> {file, name, address, picture}: a photo; `address` shows it.
       .ready                     -> Promise of whether this browser can show it; then .width and .height are known.
       .place()                   -> {src} or {absent}, as photos.js takes it.
   Fieldmark.referencePhoto(id)   -> {src}: the small picture of a reference.
   Fieldmark.said(error)          -> an element with what went wrong, for a place with role="alert".
   Fieldmark.busy(text)           -> an element that says what is waited for.
   Fieldmark.short(text, most)    -> a text that fits, the rest as "…".
   Fieldmark.breakable(text)      -> its parts as children of an element: a line may end after "_", "-", "/" and ".".
   Fieldmark.link(view, ...values)  -> the address of a view: "#/browse/House%20Sparrow". */

(() => {
  const { element } = Fieldmark;
  const UNSEEN = "This browser cannot show this kind of file. The service may still be able to read it.";

  Fieldmark.Taken = class {
    constructor(file) {
      this.file = file;
      this.name = file.name || "photo";
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
      return this.unseen ? { absent: UNSEEN } : { src: this.address };
    }
  };

  Fieldmark.referencePhoto = (id) => ({ src: `/thumbnails/${encodeURIComponent(id)}` });

  Fieldmark.said = (error) => {
    if (!(error instanceof Fieldmark.Refused)) console.error(error);
    const told = error instanceof Fieldmark.Refused ? error.message : "Something went wrong on this page. Reload it.";
    return element("div", { class: "notice warns", role: "alert" }, element("p", null, told));
  };

  Fieldmark.busy = (text) =>
    element("p", { class: "busy" }, element("span", { class: "spinner", "aria-hidden": "true" }), text);

  Fieldmark.short = (text, most = 90) => {
    const whole = [...String(text)];
    return whole.length > most ? `${whole.slice(0, most - 1).join("")}…` : String(text);
  };

  Fieldmark.breakable = (text) =>
    text.split(/(?<=[_/.-])/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));

  Fieldmark.link = (view, ...values) => `#/${[view, ...values.map(encodeURIComponent)].join("/")}`;
})();
