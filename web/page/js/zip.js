/** A ZIP archive of files that are compressed already: PKWARE's APPNOTE, method 0. */

import { crc32 } from "./marks.js";

const VERSION = 20;
const UTF8 = 0x0800; // names are
const DAY = 33; // 1 January 1980: files carry no time

/** files: [{name, bytes}]; the archive's bytes. */
export function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { name, bytes } of files) {
    const label = new TextEncoder().encode(name);
    const sizes = [crc32(bytes), bytes.length, bytes.length];
    const common = (view, from) => {
      for (const [i, value] of [VERSION, UTF8, 0, 0, DAY].entries())
        view.setUint16(from + 2 * i, value, true);
      for (const [i, value] of sizes.entries()) view.setUint32(from + 10 + 4 * i, value, true);
      view.setUint16(from + 22, label.length, true);
    };
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    common(local, 4);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, VERSION, true);
    common(entry, 6);
    entry.setUint32(42, at, true);
    parts.push(new Uint8Array(local.buffer), label, bytes);
    directory.push(new Uint8Array(entry.buffer), label);
    at += 30 + label.length + bytes.length;
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(
    12,
    directory.reduce((sum, part) => sum + part.length, 0),
    true,
  );
  end.setUint32(16, at, true);
  return new Blob([...parts, ...directory, new Uint8Array(end.buffer)], { type: "application/zip" });
}
