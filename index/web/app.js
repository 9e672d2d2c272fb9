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
  const visits = new Map(); // where one was when a view was left, by the visit that the browser's history names
  let info = null;
  let here = null; // the visit that is shown
  let asked = null; // where one was in the answer

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

  /* A view is left: where one was in it is kept. */
  function leave() {
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    if (!here) return;
    const left = { ...here, top: scrollY, focused: document.activeElement, told: Fieldmark.ask.told() };
    visits.set(here.visit, left);
    if (here.view === Fieldmark.ask) asked = left;
  }

  /* Where one was in a view that is come back to; null where it is a new visit or says something else now. */
  function before(view) {
    const known = history.state && visits.get(history.state.visit);
    const was = known || (here && here.view === Fieldmark.why && view === Fieldmark.ask ? asked : null);
    if (!was || was.view !== view) return null;
    return view === Fieldmark.ask && (was.told !== view.told() || view.element.querySelector("[role=alert]")) ? null : was;
  }

  async function comeBack({ top, focused }, shown) {
    const { visit } = here;
    const active = document.activeElement;
    await shown;
    if (visit !== here.visit || active !== document.activeElement) return; // whoever has gone on is left alone
    scrollTo({ top, behavior: "instant" });
    (focused.isConnected ? focused : main).focus({ preventScroll: true });
  }

  function begin(view) {
    scrollTo({ top: 0, behavior: "instant" });
    const heading = view.element.querySelector("h1:not([hidden])");
    const seen = heading && heading.offsetParent && !heading.closest(".only-read");
    (seen ? heading : main).focus({ preventScroll: true });
  }

  function route() {
    if (here && location.hash && !location.hash.startsWith("#/")) return; // a place within a view
    leave();
    const [, name = "", ...values] = location.hash.split("/").map(decoded);
    const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : VIEWS[""];
    const [first, other, was] = [!here, !view.element.isConnected, before(view)];
    if (!history.state || !history.state.visit) history.replaceState({ visit: `${Date.now()} ${visits.size}` }, "");
    here = { view, visit: history.state.visit };
    if (other) main.replaceChildren(view.element);
    for (const link of links) {
      const here = VIEWS[link.dataset.view] === view || (link.dataset.view === "" && name === "why");
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const shown = view.show && view.show(...values.map((value) => value || undefined));
    document.title = `${view.title} · Fieldmark`;
    if (was) comeBack(was, shown);
    else if (!first && (other || view === Fieldmark.browse)) begin(view); // which shows all labels, or one
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

  let stale = false; // what is known of the index, as there is another one

  async function inform() {
    stale = true;
    try {
      info = await service.get("/info");
      stale = false;
      Fieldmark.ask.start(info);
      foot();
      compared();
    } catch (error) {
      if (!info) Fieldmark.ask.uninform(error);
    }
  }

  function look() {
    if (document.hidden) return;
    if (info && !stale)
      service.get("/readyz", {}, { seconds: 10 }).catch(() => {}); // onGeneration hears of another one
    else inform();
  }

  service.onGeneration(inform);
  document.addEventListener("fieldmark-answered", () => info && !stale && compared());
  document.addEventListener("visibilitychange", look);
  setInterval(look, LOOK);
  history.scrollRestoration = "manual";
  addEventListener("hashchange", route);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  main.replaceChildren(Fieldmark.busy("Opening the index …"));
  inform().then(route); // what may be asked of the service is known before a view is shown
})();
