// Shows openapi.json in Swagger UI, in the colours that the reader's system asks for.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const setColours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", setColours);
setColours();

// In development mode the gateway has written a token, so that calls can be tried at once.
async function authorize(ui, url) {
  const response = await fetch(url);
  if (response.ok) ui.preauthorizeApiKey("bearer", (await response.json()).token);
}

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  plugins: [CodeSamples, ShortErrors],
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  // Swagger UI would send the document to a service that checks it.
  validatorUrl: null,
  onComplete: () => {
    const {development} = document.documentElement.dataset;
    if (development) authorize(ui, development);
  },
});
