// A compiler that stays: one request a line on standard input, one answer a line on standard output. Starting the
// WebAssembly compiler anew for every mutant would cost more than half of the compilation.
//   node compile.js <folder that imports are read from>
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const solc = require("solc");

const root = path.resolve(process.argv[2]);

function read(name) {
  for (const folder of [root, path.join(root, "node_modules")]) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
  }
  return { error: `File not found: ${name}` };
}

readline.createInterface({ input: process.stdin, terminal: false }).on("line", (line) => {
  process.stdout.write(JSON.stringify(JSON.parse(solc.compile(line, { import: read }))) + "\n");
});
