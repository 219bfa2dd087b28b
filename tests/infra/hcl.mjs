#!/usr/bin/env node
// Fails where `terraform fmt` would change a file, and prints what Terraform's parser makes of it.
//
// usage: hcl.mjs TOOLS FILE...
//
// TOOLS is the folder npm installed the parser and the formatter into, which are Terraform's own.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [tools, ...files] = process.argv.slice(2);
const require = createRequire(`${tools}/`);
const { getReferencesInExpression, parse } = require("@cdktf/hcl2json");
const { format } = require("@cdktf/hcl-tools");

async function references(file, value) {
  if (typeof value === "string") {
    return (await getReferencesInExpression(file, value)).map((reference) => reference.value);
  }
  const found = [];
  for (const [name, inner] of Object.entries(value ?? {})) {
    // A resource's own arguments are named there without the resource.
    if (name !== "ignore_changes") {
      found.push(...(await references(file, inner)));
    }
  }
  return found;
}

const parsed = [];
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const document = await parse(file, text).catch((error) => {
    console.error(error.message);
    console.log("[]");
    process.exit(1);
  });
  const lines = text.split("\n");
  const formatted = (await format(text)).split("\n");
  const line = lines.findIndex((written, index) => written !== formatted[index]);
  if (line >= 0 || lines.length !== formatted.length) {
    const at = line >= 0 ? line : lines.length - 1;
    console.error(`${file}:${at + 1}: terraform fmt would write: ${formatted[at]}`);
    process.exitCode = 1;
  }
  const { variable, ...others } = document;
  const validations = Object.values(variable ?? {}).map(([declared]) => declared.validation);
  parsed.push({
    file,
    text,
    document,
    references: await references(file, others),
    validated: await references(file, validations),
  });
}
console.log(JSON.stringify(parsed));
