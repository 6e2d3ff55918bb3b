// Preloaded into a server: it ends when its standard input does, so it never outlives the tests that started it.
process.stdin.on("end", () => process.exit(0)).resume();
