"use strict";
// Shows the description of the API and sends what is filled in. Nothing is ever inserted as HTML.

const make = (name, text = "", ...children) => {
  const element = document.createElement(name);
  element.textContent = text;
  element.append(...children);
  return element;
};

const field = (name, help, element) => {
  const label = make("label", name);
  label.append(make("small", help ?? ""), element);
  return label;
};

const send = async (method, path, operation, inputs, body, output) => {
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  if (query.size) target += `?${query}`;
  const headers = {};
  const key = document.getElementById("key").value;
  if (key) headers["X-FileSpin-Api-Key"] = key;
  let content;
  if (body?.type === "file") {
    content = new FormData();
    for (const file of body.files) content.append("file", file);
  } else if (body?.value) {
    content = body.value;
    headers["Content-Type"] = "application/json";
  }
  output.textContent = "…";
  try {
    const answer = await fetch(target, { method: method.toUpperCase(), headers, body: content });
    const type = answer.headers.get("Content-Type") ?? "";
    const text = /json|text/.test(type) ? await answer.text() : `${(await answer.blob()).size} bytes of ${type}`;
    let shown = text;
    if (type.includes("json")) shown = JSON.stringify(JSON.parse(text), null, 2);
    output.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
};

const show = (path, method, operation) => {
  const summary = make("summary", "", make("b", method), make("code", path), make("span", operation.summary));
  const details = make("details", "", summary, make("p", operation.description ?? ""));
  const inputs = operation.parameters.map((parameter) => {
    const input = make("input");
    details.append(field(parameter.name, parameter.description, input));
    return { parameter, input };
  });
  const content = operation.requestBody?.content;
  let body;
  if (content?.["application/json"]) {
    body = make("textarea", JSON.stringify(content["application/json"].example, null, 2));
  } else if (content) {
    body = Object.assign(make("input"), { type: "file", multiple: true });
  }
  if (body) details.append(field("body", Object.keys(content)[0], body));
  const button = make("button", "Send");
  const output = make("pre");
  button.addEventListener("click", () => send(method, path, operation, inputs, body, output));
  details.append(button, output);
  return details;
};

const start = async () => {
  const description = await (await fetch("/api/v1/openapi.json")).json();
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const [tag] = operation.tags;
      if (!groups.has(tag)) groups.set(tag, make("section", "", make("h2", tag)));
      groups.get(tag).append(show(path, method, operation));
    }
  }
  document.getElementById("operations").replaceChildren(...groups.values());
};

start().catch((error) => { document.getElementById("operations").textContent = String(error); });
