// Plugins of Swagger UI: samples of each call (x-codeSamples), and errors in a line each.
"use strict";

const CodeSamples = ({React}) => {
  const h = React.createElement;

  // Samples name a host that is no one's: here they name this service.
  const forThisHost = (source) => {
    const plain = location.protocol === "http:" ? "-plaintext " : "";
    const host = location.port ? location.host : `${location.host}:${plain ? 80 : 443}`;
    return source
      .replaceAll("https://api.example.com", location.origin)
      .replaceAll("grpcurl ", `grpcurl ${plain}`)
      .replaceAll("api.example.com:443", host);
  };

  const Samples = ({samples}) => {
    const [chosen, choose] = React.useState(0);
    const [copied, setCopied] = React.useState(false);
    const source = forThisHost(samples[chosen].source);
    const copy = async () => {
      await navigator.clipboard.writeText(source);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    };
    const tab = ({label}, number) =>
      h("button", {
        key: label,
        type: "button",
        role: "tab",
        "aria-selected": number === chosen,
        onClick: () => choose(number),
      }, label);
    return h("div", {className: "samples"},
      h("div", {className: "opblock-section-header"}, h("h4", null, "Samples")),
      h("div", {className: "samples-tabs", role: "tablist"},
        samples.map(tab),
        // Browsers have a clipboard on https and on this machine only.
        navigator.clipboard && h("button", {type: "button", className: "samples-copy", onClick: copy},
          copied ? "Copied" : "Copy")),
      h("pre", {className: "samples-source", role: "tabpanel", tabIndex: 0}, h("code", null, source)));
  };

  const withSamples = (Responses, system) => (props) => {
    const path = ["paths", props.path, props.method, "x-codeSamples"];
    const samples = system.specSelectors.specJson().getIn(path);
    const shown = samples && h(Samples, {key: "samples", samples: samples.toJS()});
    const responses = h(Responses, {key: "responses", ...props});
    // Who has tried the call looks for the answer.
    return props.response ? [responses, shown] : [shown, responses];
  };

  return {wrapComponents: {responses: withSamples}};
};

// All errors are the same object, which the description of 400 shows: of the others, what they mean.
const ShortErrors = ({React}) => {
  const h = React.createElement;
  const short = (Response) => (props) => {
    if (!(Number(props.code) > 400)) return h(Response, props);
    return h("tr", {className: "response", "data-code": props.code},
      h("td", {className: "response-col_status"}, props.code),
      h("td", {className: "response-col_description", colSpan: 2}, props.response.get("description")));
  };
  return {wrapComponents: {response: short}};
};
