// Entities as a tree by their parents.

/** @typedef {{ entity: any, children: Node[], count: number }} Node `count`: it, and all that belongs to it */

/**
 * The tree of entities, of which those that are wanted are shown, with all above them. One whose parent is not there stands at the top.
 * @param {any[]} entities @param {(entity: any) => boolean} isWanted
 * @returns {Node[]}
 */
export function entityTree(entities, isWanted) {
  const known = new Set(entities.map((entity) => entity.id));
  /** @type {Map<string | null, any[]>} */
  const byParent = new Map();
  for (const entity of entities) {
    const parent = known.has(entity.parent) && entity.parent !== entity.id ? entity.parent : null;
    byParent.set(parent, [...(byParent.get(parent) ?? []), entity]);
  }
  const nodes = (/** @type {string | null} */ parent) => (byParent.get(parent) ?? []).sort(inOrder).map(node);
  /** @param {any} entity @returns {Node} */
  const node = (entity) => {
    const children = nodes(entity.id);
    return { entity, children, count: 1 + children.reduce((sum, child) => sum + child.count, 0) };
  };
  /** @param {Node[]} of @returns {Node[]} */
  const wanted = (of) => of.map((each) => ({ ...each, children: wanted(each.children) })).filter((each) => each.children.length > 0 || isWanted(each.entity));
  return wanted(nodes(null));
}

/** By the place in the answer, numbers as numbers. @param {any} one @param {any} other */
const inOrder = (one, other) => one.path.localeCompare(other.path, "en", { numeric: true });
