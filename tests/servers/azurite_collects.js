// Preloaded into Azurite: every ten minutes it drops the contents that no blob has any more, looking through all others
// for each. After some thousands of blobs it answers nobody for more than a minute. Here one look is for all.
const path = require("path");
const source = path.join(path.dirname(path.resolve(process.argv[1])), "..", "common", "persistence");
const store = require(path.join(source, "MemoryExtentStore")).default.prototype;
store.deleteExtents = async function (extents) {
  for (const id of extents) this.chunks.delete(this.categoryName, id);
  const { db, EXTENTS_COLLECTION } = this.metadataStore;
  db.getCollection(EXTENTS_COLLECTION).removeWhere((extent) => extents.has(extent.id));
  return extents.size;
};
