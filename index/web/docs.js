// Lists what may be asked of the service, from /openapi.json. All of it is set as text, never as markup.
"use strict";

(() => {
  const { element } = Fieldmark;

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
    const rows = given.map((one) => element("tr", null,
      element("th", { scope: "row" }, one.name),
      element("td", null, [kind(one.schema || {}), one.required ? "needed" : ""].filter(Boolean).join(", ")),
      element("td", null, one.description),
    ));
    return element("section", { class: "operation" },
      element("h2", null, `${method.toUpperCase()} ${path}`),
      element("p", null, operation.description || operation.summary),
      rows.length > 0 && element("table", null, rows),
      element("pre", null, curl(path, method, given, Boolean(operation.security))),
    );
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

  document.getElementById("bar").append(
    Fieldmark.brand("/"), element("a", { href: "/" }, "To the page"), Fieldmark.themeSwitch());
  show();
})();
