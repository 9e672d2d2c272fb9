"use strict";
/* The page put together: its views by the part of the address after "#", so that Back works and a link can be passed
   on. */

(() => {
  const { element, service, plural } = Fieldmark;
  const VIEWS = {
    "": Fieldmark.ask,
    why: Fieldmark.why,
    browse: Fieldmark.browse,
    review: Fieldmark.review,
    map: Fieldmark.atlas,
  };
  const NAVIGATION = [
    ["", "Ask"],
    ["browse", "Browse"],
    ["review", "Review"],
    ["map", "Map"],
  ];
  const LOOK = 20_000; // milliseconds between two looks at which generation answers
  const main = document.getElementById("main");
  let info = null;
  let first = true;

  const links = NAVIGATION.map(([view, name]) => element("a", { href: Fieldmark.link(view), data: { view } }, name));
  const queue = element("span", { class: "badge", hidden: true });
  links[2].append(queue);
  document
    .getElementById("bar")
    .append(
      Fieldmark.brand("#/"),
      element("nav", { class: "views", "aria-label": "Views" }, links),
      Fieldmark.themeSwitch()
    );

  Fieldmark.onDoubt(() => {
    queue.textContent = String(Fieldmark.doubtful.length);
    queue.hidden = !Fieldmark.doubtful.length;
    queue.setAttribute("aria-label", plural(Fieldmark.doubtful.length, "doubtful answer"));
  });

  function decoded(part) {
    try {
      return decodeURIComponent(part);
    } catch {
      return part; // somebody has typed it
    }
  }

  function route() {
    if (location.hash && !location.hash.startsWith("#/")) return; // a place within a view
    const [, name = "", ...values] = location.hash.split("/").map(decoded);
    const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : VIEWS[""];
    const other = !view.element.isConnected;
    if (other) main.replaceChildren(view.element);
    for (const link of links) {
      const here = VIEWS[link.dataset.view] === view || (link.dataset.view === "" && name === "why");
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (view.show) view.show(...values.map((value) => value || undefined));
    document.title = `${view.title} · Fieldmark`;
    if (!first && other) {
      scrollTo({ top: 0, behavior: "instant" });
      const heading = view.element.querySelector("h1:not([hidden])");
      if (heading && heading.offsetParent) heading.focus({ preventScroll: true });
      else main.focus({ preventScroll: true });
    }
    first = false;
  }

  function foot() {
    const trained = [info.embedder.backbone, `${info.dimension} numbers a photo`].filter(Boolean).join(", ");
    document
      .getElementById("foot")
      .replaceChildren(
        element(
          "p",
          null,
          `${plural(info.references, "reference")} of ${plural(info.classes, "label")}, `,
          `generation ${info.generation}. `,
          `Embedder ${info.embedder.fingerprint.slice(0, 12)} (${trained}).`
        ),
        element(
          "p",
          null,
          "Photos are sent to this service alone, as they are, and kept only where they are taught. ",
          element("a", { href: "/docs" }, "For programs")
        )
      );
  }

  /* An answer holds for the embedder that gave it: another one's index may say something else. */
  function compared() {
    const told = Fieldmark.ask.told();
    const place = document.getElementById("changed");
    const other = told && told.fingerprint !== info.embedder.fingerprint;
    if (!other) return place.replaceChildren();
    if (place.firstChild) return;
    const again = () => {
      place.replaceChildren();
      location.hash = "#/";
      Fieldmark.ask.again();
    };
    place.replaceChildren(
      element(
        "div",
        { class: "notice warns undoable" },
        element(
          "p",
          null,
          "The index has been replaced by one of another embedder. The answer on this page is of the one before."
        ),
        element("button", { class: "button", type: "button", on: { click: again } }, "Ask again")
      )
    );
  }

  async function inform() {
    try {
      info = await service.get("/info");
      Fieldmark.ask.start(info);
      foot();
      compared();
    } catch (error) {
      if (!info) Fieldmark.ask.problem(error);
    }
  }

  function look() {
    if (document.hidden) return;
    if (info)
      service.get("/readyz", {}, { seconds: 10 }).catch(() => {}); // onGeneration hears of another one
    else inform();
  }

  service.onGeneration(inform);
  document.addEventListener("fieldmark-answered", () => info && compared());
  document.addEventListener("visibilitychange", look);
  setInterval(look, LOOK);
  addEventListener("hashchange", route);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  main.replaceChildren(Fieldmark.busy("Opening the index …"));
  inform().then(route); // what may be asked of the service is known before a view is shown
})();
