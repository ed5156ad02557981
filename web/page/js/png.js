/** A mark in a PNG's metadata that says the picture is the work of a model, for people and for programs. */

export const MARK = "Made or edited with Facemorph, a generative model. Not a photograph of a real moment.";

// The IPTC's vocabulary for how a picture came to be: https://cv.iptc.org/newscodes/digitalsourcetype/
const SOURCES = { sample: "trainedAlgorithmicMedia", photo: "compositeWithTrainedAlgorithmicMedia" };
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

/**
 * A PNG file (bytes) with the mark put after its header: tEXt Software and Description, and XMP with IPTC's
 * DigitalSourceType. origin: "sample" for a face the model drew, "photo" for an edited photograph.
 */
export function markPng(bytes, origin) {
  if (latin("IHDR").some((byte, i) => bytes[12 + i] !== byte)) throw new Error("not a PNG file");
  const header = 8 + 25; // signature, then IHDR: 13 bytes of payload and 12 around them
  const packet = new TextEncoder().encode(xmp(SOURCES[origin]));
  const marks = [
    chunk("tEXt", latin("Software\0Facemorph")),
    chunk("tEXt", latin(`Description\0${MARK}`)),
    chunk("iTXt", Uint8Array.from([...latin("XML:com.adobe.xmp\0\0\0\0\0"), ...packet])),
  ];
  const parts = [bytes.subarray(0, header), ...marks, bytes.subarray(header)];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
