"use strict";
/* The view that photos are asked in: the photo at the left, what it is at the right, the references beneath.

   Fieldmark.ask  -> {element, title, start(info), again(), reopen(asked), photos(), box(), answer(), told()}
       start: what the service says of itself is known. again: ask once more, about the same photos. told(): the whole
       of what was answered. reopen: photos that were asked about before, {photos, box}.
   Fieldmark.doubtful  -> the doubtful answers of this visit, [{photos, box, answer, why, at}], the newest first;
       Fieldmark.onDoubt(f) calls f when there are others. */

(() => {
  const { element, plural, service } = Fieldmark;
  const SHOWN = 10;
  const MORE = 50;
  const QUEUE = 60;
  const waiting = [];

  Fieldmark.doubtful = [];
  Fieldmark.onDoubt = (then) => waiting.push(then);

  class Ask {
    constructor() {
      Object.assign(this, { title: "What is this?", state: { photos: [], box: null, told: null, k: SHOWN } });
      this.intake = Fieldmark.intake({
        onPhotos: (files, more) => this.take(files, more),
        onProblem: (sentence) => this.problem(new Fieldmark.Refused(sentence)),
      });
      this.heading = element("h1", { tabindex: "-1" }, "What is this?");
      this.lead = element("p", { class: "lead" });
      this.kinds = element("div", { class: "stack" });
      this.trouble = element("div");
      this.hero = element("div", { class: "masthead" }, this.heading, this.lead);
      this.subject = element("div", { class: "stack" });
      this.verdict = element("div", { class: "card answer", "aria-busy": "false", tabindex: "-1" });
      this.voice = element("p", { class: "only-read", role: "status" });
      this.taught = element("div");
      this.evidence = element("div");
      this.asked = element(
        "div",
        { class: "asking", hidden: true },
        element("div", { class: "pair" }, this.subject, element("div", { class: "stack" }, this.taught, this.verdict)),
        this.evidence
      );
      this.element = element(
        "div",
        { class: "view ask" },
        this.hero,
        this.trouble,
        this.intake.zone,
        this.asked,
        this.kinds,
        this.voice
      );
    }

    start(info) {
      this.info = info;
      if (this.uninformed) this.uninformed.remove();
      const said = this.verdict.querySelector(".verdict");
      if (said && this.answer()) said.replaceWith(Fieldmark.verdict(this.answer(), info, this.state.photos.length));
      this.lead.replaceChildren(
        ...(info.references
          ? [
              ...Fieldmark.words("Drop a photo. ", "Take or choose a photo. "),
              `It is named by the nearest of ${plural(info.references, "reference photo")} ` +
                `of ${plural(info.classes, "label")}, and you see why.`,
            ]
          : ["This index holds no references yet.", info.service.edit ? " Give it a photo and teach it." : ""])
      );
      if (!this.teach) {
        this.teach = Fieldmark.teach({
          info,
          photos: () => this.photos(),
          box: () => this.box(),
          itself: () => this.itself(),
          onTaught: (notice) => {
            this.taught.replaceChildren(notice);
            this.again();
          },
          onUndone: () => this.again(),
        });
        const [later] = this.verdict.getElementsByClassName("later");
        if (later) later.replaceWith(this.lesson());
      }
      const index = `${info.generation} ${info.embedder.fingerprint}`;
      if (index !== this.sampled && !this.state.photos.length) {
        this.sampled = index;
        this.sample();
      }
    }

    /* A glance at what the index knows, before anything is asked. */
    async sample() {
      try {
        const { labels } = await service.get("/labels", { limit: 14 });
        const firsts = await Promise.all(labels.map(({ label }) => service.get("/references", { label, limit: 1 })));
        const tiles = firsts
          .flatMap(({ references }) => references)
          .map(({ id, label }) => ({
            photo: Fieldmark.referencePhoto(id),
            alt: `References of ${Fieldmark.short(label)}`,
            caption: Fieldmark.short(label, 60),
            frame: "bare",
            onSelect: () => {
              location.hash = Fieldmark.link("browse", label);
            },
          }));
        if (!tiles.length) return;
        const all = element("a", { href: Fieldmark.link("browse") }, `All ${plural(this.info.classes, "label")}`);
        this.kinds.replaceChildren(
          element(
            "div",
            { class: "row spread" },
            element("h2", null, labels.length < this.info.classes ? "It knows, among others" : "It knows"),
            all
          ),
          Fieldmark.tiles(tiles, "Some of the labels")
        );
      } catch {
        this.kinds.replaceChildren(); // it is only a glance
      }
    }

    problem(error) {
      location.hash = "#/";
      this.trouble.replaceChildren(Fieldmark.said(error));
      this.trouble.scrollIntoView({ block: "nearest" });
    }

    /* What the service allows could not be read, and will be asked again: said once, until it is known. */
    uninform(error) {
      if (this.uninformed) return;
      this.problem(error);
      this.uninformed = this.trouble.firstChild;
    }

    /* As many of the files as the service takes at once; which were left out is said. */
    take(files, more) {
      const { photos, megabytes } = this.info ? this.info.service : { photos: Infinity, megabytes: Infinity };
      const kept = more ? [...this.state.photos] : [];
      const [many, large] = [[], []];
      let free = 1e6 * megabytes - kept.reduce((sum, one) => sum + one.file.size, 0);
      for (const file of files) {
        if (kept.length >= photos) many.push(file);
        else if (file.size > free) large.push(file);
        else {
          kept.push(new Fieldmark.Taken(file));
          free -= file.size;
        }
      }
      const size = large.reduce((sum, file) => sum + file.size, 0) / 1e6;
      const told = [
        many.length > 0 && `At most ${photos} photos are asked about at once. Left out: ${Fieldmark.names(many)}.`,
        large.length > 0 &&
          `The service takes ${megabytes} MB at most at once. ` +
            `Left out: ${Fieldmark.names(large)} (${Fieldmark.number(size, 0)} MB).`,
      ].filter(Boolean);
      if (many.length + large.length < files.length) this.reopen({ photos: kept, box: null });
      if (told.length) this.problem(new Fieldmark.Refused(told.join(" ")));
    }

    reopen({ photos, box }) {
      this.state = { photos, box, told: null, k: SHOWN };
      if (this.teach) this.teach.forget();
      for (const place of [this.trouble, this.evidence]) place.replaceChildren();
      if (!this.taught.querySelector("button:enabled")) this.taught.replaceChildren(); // what can be undone stays
      location.hash = "#/";
      this.hero.classList.add("only-read");
      this.kinds.hidden = this.intake.zone.hidden = true;
      this.asked.hidden = false;
      this.draw();
      this.again();
      scrollTo({ top: 0, behavior: "instant" });
      this.verdict.focus({ preventScroll: true });
    }

    /* The photos that are asked about, and what can be done with them. */
    draw() {
      const { state } = this;
      const { photos, box } = state;
      const press = (text, label, then) =>
        element("button", { class: "button", type: "button", "aria-label": label, on: { click: then } }, text);
      const actions = [
        press("New photo", null, () => this.intake.choose(false)),
        press("Take one", null, () => this.intake.take(false)),
        press("Add another", "Add another photo of the same subject", () => this.intake.choose(true)),
      ];
      const boxed =
        photos.length === 1 &&
        Fieldmark.boxed(photos[0], {
          box,
          actions,
          onBox: (to) => {
            if (state !== this.state) return; // other photos are asked about by now
            state.box = to;
            this.again();
          },
        });
      const count = this.photos().length;
      const together =
        count === 1
          ? "The answer is of the other one."
          : `${count < photos.length ? "The others" : "These"} count together, as photos of one subject.`;
      const several = () => [
        element(
          "ul",
          { class: "tiles mine", "aria-label": "Your photos of one subject" },
          photos.map((one) => this.tile(one))
        ),
        element("p", { class: "small faint" }, together),
        element("div", { class: "row" }, actions),
      ];
      this.subject.replaceChildren(...(boxed ? [boxed] : several()));
    }

    tile(photo) {
      const out = () => this.reopen({ photos: this.state.photos.filter((one) => one !== photo), box: null });
      const lost = photo.read === false;
      const leave = lost ? "Take away" : "Leave out";
      const item = element(
        "li",
        { class: `tile ${lost ? "lost" : ""}` },
        Fieldmark.photo(photo.place(), photo.name),
        lost && element("span", { class: "note" }, "Left out of the answer"),
        element(
          "button",
          { class: "button", type: "button", "aria-label": `${leave} ${photo.name}`, on: { click: out } },
          leave
        )
      );
      photo.ready.then((shown) => {
        if (!shown) item.firstChild.replaceWith(Fieldmark.photo(photo.place(), photo.name));
      });
      return item;
    }

    async again() {
      const { photos, box, k } = this.state;
      if (!photos.length) return;
      if (this.asking) this.asking.abort();
      const asking = (this.asking = new AbortController());
      this.wait("Looking for the nearest references …");
      const values = {
        photo: photos.map((one) => one.file),
        k: Math.min(k, this.info ? this.info.service.neighbours : k),
        together: photos.length > 1 ? "true" : null,
        box: box && photos.length === 1 ? box.join(",") : null,
      };
      const onWait = (seconds) => this.wait(`The service is busy; next try in ${plural(seconds, "second")} …`);
      try {
        const told = await service.send("/search", values, { signal: asking.signal, onWait });
        if (asking === this.asking) this.answered(told);
      } catch (error) {
        if (!Fieldmark.gone(error) && asking === this.asking) this.failed(error);
      }
    }

    wait(text) {
      this.verdict.setAttribute("aria-busy", "true");
      if (!this.state.told) this.verdict.replaceChildren(Fieldmark.busy(text));
      else this.verdict.classList.add("stale");
    }

    /* What is there already is not moved: whoever types in it goes on. */
    settled(...children) {
      this.verdict.setAttribute("aria-busy", "false");
      this.verdict.classList.remove("stale");
      const shown = children.filter(Boolean);
      for (const one of [...this.verdict.childNodes]) if (!shown.includes(one)) one.remove();
      let next = null;
      for (const one of shown.reverse()) {
        if (!one.parentNode) this.verdict.insertBefore(one, next);
        next = one;
      }
    }

    /* Which photos the service could read: what is shown of them says so. */
    read(could) {
      const { photos } = this.state;
      const other = photos.some((one) => one.read !== could(one) && (one.unseen || !could(one) || one.read === false));
      for (const one of photos) one.read = could(one);
      if (other) this.draw();
    }

    failed(error) {
      this.state.told = null;
      this.evidence.replaceChildren();
      const never = error.status === 415; // whoever asks
      if (never) this.read(() => false);
      const again = element(
        "button",
        {
          class: "button",
          type: "button",
          on: { click: () => (never ? this.intake.choose(false) : this.again()) },
        },
        never ? "Choose another photo" : "Ask again"
      );
      this.settled(
        element("h2", null, "No answer"),
        Fieldmark.said(error),
        element(
          "div",
          { class: "row" },
          again,
          element(
            "span",
            { class: "small faint" },
            never ? "JPEG, PNG, WebP and TIFF can be read." : "Your photo is kept on this page."
          )
        ),
        error.status === 409 && this.lesson()
      );
    }

    answered(told) {
      const [answer] = told.answers;
      const lost = told.answers.filter((one) => one.error);
      this.state.told = told;
      if (answer.error) return this.failed(new Fieldmark.Refused(Fieldmark.sentence(answer.error)));
      const without = lost.map(({ query, error }) =>
        element(
          "p",
          { class: "notice warns" },
          Fieldmark.sentence(`Answered without ${Fieldmark.short(query || "a photo")}, which ${error}`)
        )
      );
      this.read(this.lostOf(lost));
      this.settled(...without, Fieldmark.verdict(answer, this.info, this.state.photos.length), this.lesson());
      const more =
        answer.neighbours.length >= this.state.k &&
        this.state.k < MORE &&
        element(
          "button",
          {
            class: "button",
            type: "button",
            on: {
              click: () => {
                this.state.k = MORE;
                this.again();
              },
            },
          },
          "Show more references"
        );
      this.evidence.replaceChildren(
        Fieldmark.section(
          "evidence",
          "The nearest references",
          "Choose one to see what makes it like your photo.",
          Fieldmark.references(answer, {
            onSelect: (one) => {
              location.hash = Fieldmark.link("why", one.id, one.label);
            },
          }),
          element("div", { class: "row" }, more || null)
        )
      );
      this.voice.textContent = Fieldmark.asText(answer, this.state.photos.length);
      this.remember(answer);
      document.dispatchEvent(new CustomEvent("fieldmark-answered"));
    }

    /* The service names what it could not read; of two photos of one name it is the one that is not seen here either. */
    lostOf(lost) {
      const found = new Set();
      for (const { query } of lost) {
        const called = this.state.photos.filter((one) => one.name === query && !found.has(one));
        found.add(called.find((one) => one.unseen) || called[0]);
      }
      return (photo) => !found.has(photo);
    }

    lesson() {
      if (!this.teach) return element("div", { class: "later" }); // what the service allows is not known yet
      const { candidates = [], neighbours = [] } = this.answer() || {};
      this.teach.suggest([...new Set([...candidates, ...neighbours].map((one) => one.label))].slice(0, 8));
      if (!this.form)
        this.form = this.info.service.edit
          ? element(
              "section",
              { class: "lesson", "aria-labelledby": "lesson" },
              element("h3", { id: "lesson" }, "Wrong, or new? Teach it."),
              this.teach.element
            )
          : element("div", { class: "lesson" }, this.teach.element);
      return this.form;
    }

    remember(answer) {
      const { photos, box } = this.state;
      const why = Fieldmark.doubt(answer, photos.length);
      const others = Fieldmark.doubtful.filter((one) => one.photos[0] !== photos[0]);
      Fieldmark.doubtful = why ? [{ photos, box, answer, why, at: new Date() }, ...others].slice(0, QUEUE) : others;
      this.recount();
    }

    recount() {
      for (const then of waiting) then();
    }

    /* Those that count. */
    photos() {
      return this.state.photos.filter((one) => one.read !== false);
    }
    box() {
      return this.state.photos.length === 1 ? this.state.box : null;
    }
    /* The reference that the photo is, where it is one. */
    itself() {
      const same = this.state.photos.length === 1 && this.answer() ? this.answer().neighbours : [];
      return same.find((one) => one.same_photo) || null;
    }
    told() {
      return this.state.told;
    }
    answer() {
      return this.state.told && this.state.told.answers[0];
    }
  }

  Fieldmark.ask = new Ask();
})();
