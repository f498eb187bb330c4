// What is dropped to be learned from: also what lies in folders, under the names that it has there.

/** `{ file, name }` of each: its path below the folder that all lie in. Hidden files are left out. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean); // later there are none
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = (await Promise.all(entries.map(inside))).flat();
  const folders = found.map(({ name }) => name.split("/").slice(0, -1));
  const shared = folders.reduce((one, other) => one.slice(0, differ(one, other)), folders[0] ?? []).length;
  return found.map(({ file, name }) => ({ file, name: name.split("/").slice(shared).join("/") }));
}

/** How many begin alike. */
function differ(one, other) {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? one.length : at;
}

async function inside(entry) {
  if (entry.name.startsWith(".") || entry.name === "__MACOSX") return [];
  if (entry.isFile) return [{ file: await new Promise((...then) => entry.file(...then)), name: entry.fullPath.slice(1) }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((...then) => reader.readEntries(...then)); // about a hundred at a time
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(inside))).flat());
  }
}
