"use strict";
/* The token that a service asks for before it changes its index. It is asked for once and kept until the browser's tab
   is closed, nowhere else.

   Fieldmark.withToken(work)  -> what work(token) gives, a promise; a dialog asks for the token where there is none or
       it is wrong. null where that was cancelled. */

(() => {
  const { element } = Fieldmark;
  const NAME = "fieldmark-token";
  let kept = null;

  function remembered(token) {
    try {
      if (token) sessionStorage.setItem(NAME, token);
      else if (token === null) sessionStorage.removeItem(NAME);
      else return sessionStorage.getItem(NAME);
    } catch {
      // a browser that keeps nothing asks again after the page is loaded anew
    }
    if (token !== undefined) kept = token;
    return kept;
  }

  function asked(why) {
    return new Promise((resolve) => {
      const field = element("input", {
        class: "field",
        type: "password",
        id: "token",
        autocomplete: "off",
        spellcheck: "false",
        "aria-describedby": "token-why",
      });
      const form = element(
        "form",
        { class: "stack" },
        element("h2", null, "Token"),
        element(
          "p",
          { class: why ? "is-wrong" : "faint", id: "token-why", role: why ? "alert" : null },
          why ||
            "This service changes its index only for those who have its token. Whoever has started it knows the token."
        ),
        element("label", { class: "stack tight", for: "token" }, "Token", field),
        element(
          "div",
          { class: "row" },
          element("button", { class: "button main", type: "submit" }, "Go on"),
          element("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Cancel")
        )
      );
      const dialog = element("dialog", { class: "dialog", "aria-label": "Token" }, form);
      let given = null;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        given = field.value.trim() || null;
        dialog.close();
      });
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(given);
      });
      document.body.append(dialog);
      dialog.showModal();
      field.focus();
    });
  }

  Fieldmark.withToken = async (work) => {
    let why = "";
    for (;;) {
      const token = remembered() || (await asked(why));
      if (!token) return null;
      if (/[^\x20-\x7e]/.test(token)) {
        why = "That is no token: a token has only letters, digits and signs of ASCII.";
        continue;
      }
      try {
        const done = await work(token);
        remembered(token);
        return done;
      } catch (error) {
        if (!(error instanceof Fieldmark.Refused) || error.status !== 401) {
          if (error instanceof Fieldmark.Refused && error.status !== 403 && error.status) remembered(token);
          throw error;
        }
        remembered(null);
        why = "That was not the token of this service. Try again.";
      }
    }
  };
})();
