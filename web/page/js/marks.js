/**
 * Marks in the metadata of pictures and videos that say they are the work of a model, for people and for
 * programs; and the link of what is shown, by which a saved picture is opened again.
 */

export const MARK = "Made or edited with Facemorph, a generative model. Not a photograph of a real moment.";

// The IPTC's vocabulary for how a picture came to be: https://cv.iptc.org/newscodes/digitalsourcetype/
const SOURCES = { sample: "trainedAlgorithmicMedia", photo: "compositeWithTrainedAlgorithmicMedia" };
const STATE = "Facemorph state: "; // before the link in a file's comment, which a line break ends
const LOOKED_THROUGH = 65536; // bytes of a file in which a link may stand
const latin = (text) => Uint8Array.from(text, (char) => char.charCodeAt(0));

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 as PNG wants it (ISO 3309). */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(type, payload) {
  const bytes = new Uint8Array(payload.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length);
  bytes.set(latin(type), 4);
  bytes.set(payload, 8);
  view.setUint32(payload.length + 8, crc32(bytes.subarray(4, payload.length + 8)));
  return bytes;
}

/** The XMP packet that says how a picture came to be. */
function xmp(source) {
  return [
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
    ` Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/${source}"/>`,
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>',
  ].join("");
}

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const packetOf = (origin) => new TextEncoder().encode(xmp(SOURCES[origin]));
const comment = (link) => (link ? `${MARK}\n${STATE}${link}\n` : MARK);

/**
 * A PNG file (bytes) with the mark put after its header: tEXt Software and Description, and XMP with IPTC's
 * DigitalSourceType. origin: "sample" for a face the model drew, "photo" for an edited photograph; link: that
 * opens it again, "" for none.
 */
export function markPng(bytes, origin, link = "") {
  if (latin("IHDR").some((byte, i) => bytes[12 + i] !== byte)) throw new Error("not a PNG file");
  const header = 8 + 25; // signature, then IHDR: 13 bytes of payload and 12 around them
  return joined(
    bytes.subarray(0, header),
    chunk("tEXt", latin("Software\0Facemorph")),
    chunk("tEXt", latin(`Description\0${comment(link)}`)),
    chunk("iTXt", joined(latin("XML:com.adobe.xmp\0\0\0\0\0"), packetOf(origin))),
    bytes.subarray(header),
  );
}

function segment(marker, payload) {
  const length = payload.length + 2;
  return joined(Uint8Array.of(0xff, marker, length >> 8, length & 0xff), payload);
}

/** The same of a JPEG file, after its first segment: a comment, and XMP. */
export function markJpeg(bytes, origin, link = "") {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) throw new Error("not a JPEG file");
  const first = 2 + (bytes[3] === 0xe0 ? 2 + (bytes[4] << 8) + bytes[5] : 0); // after APP0
  return joined(
    bytes.subarray(0, first),
    segment(0xe1, joined(latin("http://ns.adobe.com/xap/1.0/\0"), packetOf(origin))),
    segment(0xfe, latin(comment(link))),
    bytes.subarray(first),
  );
}

/** An element of EBML: its id, its length in 8 bytes, its content. */
function ebml(id, content) {
  const size = new Uint8Array(8);
  new DataView(size.buffer).setUint32(4, content.length);
  size[0] = 1;
  return joined(Uint8Array.from(id), size, content);
}

/** The same of a WebM file: tags after its last cluster, as a recording's open segment allows. */
export function markWebm(bytes, origin) {
  const tag = (name, value) =>
    ebml([0x67, 0xc8], joined(ebml([0x45, 0xa3], latin(name)), ebml([0x44, 0x87], latin(value))));
  const tags = [tag("COMMENT", MARK), tag("DIGITAL_SOURCE_TYPE", SOURCES[origin])];
  return joined(
    bytes,
    ebml([0x12, 0x54, 0xc3, 0x67], ebml([0x73, 0x73], joined(ebml([0x63, 0xc0], new Uint8Array()), ...tags))),
  );
}

// The box in which MP4 carries XMP
const XMP_BOX = [
  0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];

/** The same of an MP4 file: a box of XMP at its end. */
export function markMp4(bytes, origin) {
  const content = joined(latin("uuid"), Uint8Array.from(XMP_BOX), packetOf(origin));
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, content.length + 4);
  return joined(bytes, size, content);
}

/** Promise of the link "#seed=..." that a file saved here carries; null where there is none. */
export async function readState(file) {
  const head = await file.slice(0, LOOKED_THROUGH).arrayBuffer();
  const text = new TextDecoder("latin1").decode(head);
  const found = new RegExp(`${STATE}(#[\\x21-\\x7e]+)\\n`).exec(text);
  return found?.[1].includes("seed=") ? found[1] : null;
}
