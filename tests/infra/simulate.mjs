// Asks a simulator of IAM, and prints how many requests it decided, and those it decided otherwise.
// usage: simulate.mjs NODE_MODULES < [{"what", "allowed", "simulation"}, …]

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules] = process.argv.slice(2);
const { runSimulation } = createRequire(`${modules}/`)("@cloud-copilot/iam-simulate");

// The action has no resources of that type, so nobody can ask for it.
const impossible = ["no.resource.types", "must.use.wildcard"];
let asked = 0;
const wrong = [];
for (const { what, allowed, simulation } of JSON.parse(readFileSync(0))) {
  const response = await runSimulation(simulation, {});
  if (response.resultType === "error") {
    if (allowed && what.startsWith("an administrator")) {
      continue;
    }
    if (allowed || !impossible.includes(response.errors.message)) {
      wrong.push([what, JSON.stringify(response.errors)]);
    }
    continue;
  }
  asked += 1;
  if ((response.overallResult === "Allowed") !== allowed) {
    wrong.push([what, response.overallResult]);
  }
}
console.log(JSON.stringify({ asked, wrong }));
