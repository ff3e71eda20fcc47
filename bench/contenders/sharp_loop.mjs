// sharp over every file of a job, in one process.
//
//   node sharp_loop.mjs JOB.json      does it
//   node sharp_loop.mjs --versions    prints what it stands on
//
// The form "best": libvips with one thread a file and as many files in flight as there are cores;
// each file is decoded once (libjpeg's scaled decoding included) to the largest variant in memory,
// every output comes from there. The form "default": what its documentation shows, a clone of one
// pipeline per output, and nothing set that need not be.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename, extname, join } from "node:path";

const sharp = createRequire(process.env.CONTENDERS_MODULES + "/")("sharp");

if (process.argv[2] === "--versions") {
  console.log(JSON.stringify({ node: process.versions.node, ...sharp.versions }));
  process.exit(0);
}

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const best = job.options.form === "best";
const variants = Object.entries(job.variants_px).sort((a, b) => b[1] - a[1]);

function encode(image, format) {
  const { effort, avif = {} } = job.options;
  const quality = job.quality[format];
  if (format === "avif") return image.avif({ quality, effort, ...avif });
  if (format === "webp") return image.webp({ quality, effort });
  return image.jpeg({ quality });
}

const inside = (image, px) =>
  image.resize(px, px, { fit: "inside", withoutEnlargement: true });

function path(file, variant, format) {
  const suffix = format === "jpeg" ? "jpg" : format;
  return join(job.output, `${basename(file, extname(file))}_${variant}.${suffix}`);
}

async function decodedOnce(file) {
  let pixels = inside(sharp(file).autoOrient(), variants[0][1]);
  for (const [index, [variant, px]] of variants.entries()) {
    if (index > 0) pixels = inside(pixels, px);
    const { data, info } = await pixels.raw().toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    const held = () => sharp(data, { raw: { width, height, channels } });
    for (const format of job.formats) {
      await encode(held(), format).toFile(path(file, variant, format));
    }
    pixels = held();
  }
}

async function clones(file) {
  const pipeline = sharp(file).autoOrient();
  const outputs = [];
  for (const [variant, px] of variants) {
    for (const format of job.formats) {
      const image = encode(inside(pipeline.clone(), px), format);
      outputs.push(image.toFile(path(file, variant, format)));
    }
  }
  await Promise.all(outputs);
}

if (best) {
  sharp.concurrency(1);
  sharp.cache(false); // no file is met twice
}
const waiting = job.files.values();
async function takeFiles() {
  for (const file of waiting) await (best ? decodedOnce : clones)(file);
}
await Promise.all(Array.from({ length: job.cores }, takeFiles));
