// The tus server of npm on a free port of loopback, for benchmarks: prints its address.
//   node tus-server.mjs DIRECTORY
import { mkdirSync } from "node:fs";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const server = new Server({ path: "/files", datastore: new FileStore({ directory }) });
const listener = server.listen({ host: "127.0.0.1", port: 0 });
listener.on("listening", () => console.log(`127.0.0.1:${listener.address().port}`));
