// Prints what Serverless Devs itself makes of a file: the properties of each resource, with its variables
// and the environment's filled in.
// usage: serverless_devs.mjs NODE_MODULES FILE

import { createRequire } from "node:module";

const [modules, file] = process.argv.slice(2);
const { default: ParseSpec } = createRequire(`${modules}/`)("@serverless-devs/parse-spec");

// It says on standard output what it does.
const { log } = console;
console.log = console.error;
const { steps } = await new ParseSpec(file, { argv: ["deploy"] }).start();
log(JSON.stringify(steps.map(({ component, props }) => ({ component, props }))));
