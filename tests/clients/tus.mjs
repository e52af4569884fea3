// Uploads a file with tus-js-client and prints the URL of the upload.
//   node tus.mjs ENDPOINT FILE '{"headers":{},"chunkSize":N,"parallelUploads":N,"stopAt":N,"uploadLengthDeferred":false}'
// With `stopAt` the first try is aborted there, and a second one resumes it by its URL.
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { PassThrough } from "node:stream";
import { Upload } from "tus-js-client";

const [endpoint, file, text] = process.argv.slice(2);
const { stopAt, ...options } = JSON.parse(text ?? "{}");

function upload(more) {
  return new Promise((resolve, reject) => {
    let stopped = false;
    // Of a file the client would look up the length that it is not to know.
    const source = options.uploadLengthDeferred ? createReadStream(file).pipe(new PassThrough()) : createReadStream(file);
    const upload = new Upload(source, {
      endpoint,
      metadata: { filename: basename(file), filetype: "application/octet-stream" },
      retryDelays: [],
      ...options,
      ...more,
      onError: reject,
      onSuccess: () => resolve(upload.url),
      onChunkComplete: (_, accepted) => {
        if (more.stopAt && accepted >= more.stopAt && !stopped) {
          stopped = true;
          upload.abort().then(() => resolve(upload.url), reject);
        }
      },
    });
    upload.start();
  });
}

try {
  let url = await upload({ stopAt });
  if (stopAt) url = await upload({ uploadUrl: url });
  console.log(url);
} catch (error) {
  console.log(`failed: ${error.message}`);
  process.exitCode = 1;
}
