// Lists what may be asked of the service, from /openapi.json. All of it is set as text, never as markup.
"use strict";

(() => {
  function element(tag, text, ...children) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }

  function resolved(description, schema) {
    const name = schema && schema.$ref ? schema.$ref.split("/").pop() : null;
    return name ? description.components.schemas[name] : schema || {};
  }

  function kind(schema) {
    if (schema.anyOf) return schema.anyOf.map(kind).filter((one) => one !== "null").join(" or ");
    if (schema.type === "array") return `several: ${kind(schema.items || {})}`;
    if (schema.contentMediaType || schema.format === "binary") return "a file";
    return schema.type || "";
  }

  function parameters(description, operation) {
    const body = operation.requestBody ? Object.values(operation.requestBody.content)[0] : null;
    const schema = body ? resolved(description, body.schema) : {};
    const fields = Object.entries(schema.properties || {}).map(([name, one]) => ({
      name, schema: one, description: one.description, required: (schema.required || []).includes(name), place: "form",
    }));
    const others = (operation.parameters || []).map((one) => ({ ...one, place: one.in }));
    return [...others, ...fields];
  }

  function curl(path, method, given, token) {
    const words = ["curl"];
    if (method !== "get" && method !== "post") words.push(`-X ${method.toUpperCase()}`);
    if (token) words.push('-H "Authorization: Bearer $FIELDMARK_TOKEN"');
    const forms = given.filter((one) => one.place === "form" && one.required);
    for (const one of forms) words.push(`-F ${one.name}=${kind(one.schema).includes("a file") ? "@photo.jpg" : one.name.toUpperCase()}`);
    if (method === "post" && !forms.length) words.push("-X POST");
    words.push(`${location.origin}${path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase())}`);
    return words.join(" ");
  }

  function section(description, path, method, operation) {
    const given = parameters(description, operation);
    const rows = given.map((one) => element("tr", "",
      element("th", one.name),
      element("td", [kind(one.schema || {}), one.required ? "needed" : ""].filter(Boolean).join(", ")),
      element("td", one.description || ""),
    ));
    const parts = [element("h2", `${method.toUpperCase()} ${path}`), element("p", operation.description || operation.summary)];
    if (rows.length) parts.push(element("table", "", ...rows));
    parts.push(element("pre", curl(path, method, given, Boolean(operation.security))));
    return element("section", "", ...parts);
  }

  async function show() {
    const place = document.getElementById("operations");
    const answer = await fetch("/openapi.json");
    if (!answer.ok) {
      place.textContent = "The description could not be read; reload the page.";
      return;
    }
    const description = await answer.json();
    const sections = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => section(description, path, method, operation)));
    place.replaceChildren(...sections);
  }

  show();
})();
