// A solc command line over the WebAssembly compiler of the npm package `solc`, with what brownie, forge and
// slither use: --version, --standard-json, --base-path and --include-path; --allow-paths is accepted, not needed.
// Imports are read from the base path, then the include paths, then the current folder.
"use strict";

const fs = require("fs");
const path = require("path");
const solc = require("solc");

function options(argv) {
  const result = { basePath: "", includePaths: [], mode: "", input: "" };
  for (let i = 0; i < argv.length; i++) {
    const [flag, inline] = argv[i].startsWith("--") ? argv[i].split(/=(.*)/s) : [argv[i], undefined];
    const value = () => (inline === undefined ? argv[++i] : inline);
    if (flag === "--version" || flag === "--standard-json") result.mode = flag;
    else if (flag === "--base-path") result.basePath = value();
    else if (flag === "--include-path") result.includePaths.push(value());
    else if (flag === "--allow-paths") value();
    else if (flag === "-") result.input = "";
    else if (!flag.startsWith("-")) result.input = flag;
    else throw new Error(`option ${flag} is not supported by this wrapper; install solc itself for it`);
  }
  return result;
}

function reader(basePath, includePaths) {
  const roots = [basePath || process.cwd(), ...includePaths, process.cwd()];
  return (name) => {
    for (const root of roots) {
      const file = path.resolve(root, name);
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `File not found: ${name} (looked in ${roots.join(", ")})` };
  };
}

function main(argv) {
  const { mode, basePath, includePaths, input } = options(argv);
  if (mode === "--version") {
    process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
  } else if (mode === "--standard-json") {
    const request = fs.readFileSync(input || 0, "utf8");
    process.stdout.write(solc.compile(request, { import: reader(basePath, includePaths) }) + "\n");
  } else {
    throw new Error("usage: solc --version | --standard-json [file] [--base-path P] [--include-path P]...");
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`solc wrapper: ${error.message}\n`);
  process.exitCode = 1;
}
