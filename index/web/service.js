"use strict";
/* What the page asks of the service.

   Fieldmark.service.get(path, values, options)     -> what is answered, as JSON values
   Fieldmark.service.send(path, values, options)    -> the same of a POST: values are fields of a form, lists several
   Fieldmark.service.change(path, values, options)  -> the same of a PATCH
   Fieldmark.service.remove(path, values, options)  -> the same of a DELETE, whose values are in its address
       values: null and undefined are left out. options: {signal, seconds, token, onWait(seconds)}.
       A service that is too busy is asked again when it says; onWait is told.
   Fieldmark.service.onGeneration(f)                -> f(generation) when another one answers than before, or
       another embedder's of the same number
   Fieldmark.Refused                                -> what they throw: `message` is a sentence for people, `status` 0
       where nothing was reached. What was aborted by its signal throws as fetch does: `Fieldmark.gone(error)` tells.
   Fieldmark.sentence(text)                         -> with a capital letter and a full stop. */

(() => {
  const TRIES = 6;
  const PATIENCE = 30; // seconds after which nothing is tried again that is not known to take longer
  const LONGEST = 10; // seconds between two tries

  Fieldmark.Refused = class extends Error {
    constructor(message, status = 0) {
      super(message);
      this.status = status;
    }
  };

  Fieldmark.gone = (error) => error.name === "AbortError";

  Fieldmark.sentence = (text) => {
    const whole = /^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
    return /[.!?]$/.test(whole) ? whole : `${whole}.`;
  };

  const heard = [];
  let generation = null;
  let embedder = null;

  function noted(answer) {
    const [now, by] = ["generation", "embedder"].map((name) => answer.headers.get(`fieldmark-${name}`));
    const other = (before, after) => before !== null && after !== null && before !== after;
    const changed = other(generation, now) || other(embedder, by);
    [generation, embedder] = [now ?? generation, by ?? embedder];
    if (changed) for (const then of heard) then(Number(generation));
  }

  /* One request: its answer, or why there is none. */
  async function reached(path, init, { signal, seconds = 60 }) {
    const ours = new AbortController();
    const stop = () => ours.abort();
    if (signal && signal.aborted) stop();
    if (signal) signal.addEventListener("abort", stop);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stop();
    }, 1000 * seconds);
    try {
      const least = generation === null ? {} : { "fieldmark-generation": generation };
      const answer = await fetch(path, { ...init, headers: { ...init.headers, ...least }, signal: ours.signal });
      const told = await answer.json().catch((error) => {
        if (ours.signal.aborted) throw error; // half an answer is none
        return {};
      });
      return { answer, told };
    } catch (error) {
      if (late) throw new Fieldmark.Refused(`The service has not answered within ${seconds} seconds. Try again.`);
      if (Fieldmark.gone(error)) throw error;
      throw new Fieldmark.Refused("The service cannot be reached. See whether it is still running, and try again.");
    } finally {
      clearTimeout(timer);
      if (signal) signal.removeEventListener("abort", stop);
    }
  }

  const pause = (seconds, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      if (signal)
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(new DOMException("aborted", "AbortError"));
        });
    });

  async function asked(path, init, options = {}) {
    const begun = performance.now();
    for (let tries = 1; ; tries++) {
      const { answer, told } = await reached(path, init, options);
      noted(answer);
      if (answer.ok) return told;
      const spent = performance.now() - begun > 1000 * Math.max(PATIENCE, options.seconds || 0);
      if (answer.status !== 503 || tries === TRIES || spent)
        throw new Fieldmark.Refused(
          Fieldmark.sentence(told.error || `the service answered ${answer.status}`),
          answer.status
        );
      const wait = Math.min(LONGEST, Math.max(1, Number(answer.headers.get("retry-after")) || 1));
      if (options.onWait) options.onWait(wait);
      await pause(wait, options.signal);
    }
  }

  function* pairs(values) {
    for (const [name, value] of Object.entries(values || {}))
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== null && one !== undefined) yield [name, one];
  }

  function address(path, values) {
    const query = new URLSearchParams([...pairs(values)]).toString();
    return query ? `${path}?${query}` : path;
  }

  function form(values) {
    const made = new FormData();
    for (const [name, value] of pairs(values)) made.append(name, value);
    return made;
  }

  const headers = (options) => (options && options.token ? { authorization: `Bearer ${options.token}` } : {});

  Fieldmark.service = {
    get: (path, values, options) => asked(address(path, values), {}, options),
    send: (path, values, options) =>
      asked(path, { method: "POST", body: form(values), headers: headers(options) }, options),
    change: (path, values, options) =>
      asked(path, { method: "PATCH", body: form(values), headers: headers(options) }, options),
    remove: (path, values, options) =>
      asked(address(path, values), { method: "DELETE", headers: headers(options) }, options),
    onGeneration: (then) => heard.push(then),
  };
})();
