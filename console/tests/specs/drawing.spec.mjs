// How pages are drawn again: what a person has typed, chosen, focused and scrolled stays.

import { expect, test } from "./fixtures.mjs";

/** Runs `check` in a page of the console, with its module that draws, or another. */
async function drawn(page, check, module = "dom.js") {
  const script = await page.locator("script[src$='app.js']").getAttribute("src");
  return page.evaluate(`(async () => { const dom = await import(new URL(${JSON.stringify(script)}.replace("app.js", ${JSON.stringify(module)}), document.baseURI)); const root = document.createElement("div"); document.body.append(root); return (${check})(dom, root); })()`);
}

test("a kept element stays in the page, with its focus, scrolling and selection, whatever comes and goes around it", async ({ open, page }) => {
  await open("/access");
  const found = await drawn(page, ({ h, keep, render }, root) => {
    const kept = keep(h("div", { tabindex: 0, style: { height: "40px", overflow: "auto" } }, h("p", { style: { height: "400px" } }, "some text")));
    let removals = 0;
    new MutationObserver((records) => records.forEach(({ removedNodes }) => removedNodes.forEach((node) => (removals += node.contains(kept) ? 1 : 0)))).observe(root, { childList: true, subtree: true });
    const draw = (before, after) => render(root, h("h2", null, "head"), before(), h("div", { key: "columns" }, h("div", { key: "output" }, before(), kept, after())));
    draw(() => h("span", null, "bar"), () => null);
    kept.focus();
    kept.scrollTop = 100;
    getSelection().setBaseAndExtent(kept.firstChild.firstChild, 0, kept.firstChild.firstChild, 4);
    draw(() => h("p", null, "one"), () => h("p", null, "two"));
    draw(() => null, () => null);
    draw(() => [h("p", null, "one"), h("span", null, "bar")], () => h("p", null, "three"));
    const other = keep(h("div", null, "other"));
    const state = [document.activeElement === kept, kept.scrollTop, getSelection().toString(), root.textContent.replace(kept.textContent, "KEPT"), root.querySelectorAll("slot").length];
    return new Promise((resolve) => setTimeout(() => {
      render(root, h("div", { key: "columns" }, h("div", { key: "output" }, other)));
      resolve([...state, removals, root.textContent]);
    }));
  });
  expect(found).toEqual([true, 100, "some", "headonebaronebarKEPTthree", 0, 0, "other"]);
});

test("rows keep their elements in any order", async ({ open, page }) => {
  await open("/access");
  const found = await drawn(page, ({ h, render }, root) => {
    const wrong = [];
    let known = new Map();
    for (const order of ["abc", "xabc", "cab", "c", "dcba", "", "ab", "ba", "a1b", "1ab2", "b1"]) {
      render(root, [...order].map((name) => (/\d/.test(name) ? h("p", null, name) : h("li", { key: name }, name))));
      if (root.textContent !== order) wrong.push([order, root.textContent]);
      const now = new Map([...root.querySelectorAll("li")].map((node) => [node.textContent, node]));
      for (const [name, node] of now) if (known.has(name) && known.get(name) !== node) wrong.push([order, name]);
      known = now;
    }
    return wrong;
  });
  expect(found).toEqual([]);
});

test("what a person has typed and chosen stays, until the page wants something else", async ({ open, page }) => {
  await open("/access");
  const found = await drawn(page, ({ h, render }, root) => {
    const draw = (value, isChecked, chosen) => render(root, h("input", { name: "text", value }), h("input", { type: "checkbox", name: "box", checked: isChecked }), h("select", null, ["a", "b"].map((each) => h("option", { value: each, selected: each === chosen }, each))), h("textarea", null, "t"));
    const state = () => [root.children[0].value, root.children[1].checked, root.children[2].value, root.children[3].value];
    draw("openai", false, "a");
    root.children[0].value = "anthropic";
    root.children[1].checked = true;
    root.children[2].value = "b";
    root.children[3].value = "typed";
    draw("openai", false, "a");
    const [after] = [state()];
    draw("other", true, "b");
    draw("other", false, "a");
    return [after, state()];
  });
  expect(found).toEqual([["anthropic", true, "b", "typed"], ["other", false, "a", "typed"]]);
});

test("a tree shows a bounded number of nodes, and more where one asks", async ({ open, page }) => {
  await open("/access");
  const found = await drawn(page, ({ JsonView }, root) => {
    const leaf = (key) => ({ key, type: "number", value: "1", isWhole: true, children: [] });
    const array = (key, children) => ({ key, type: "array", value: "", isWhole: true, children });
    const many = (count, make) => Array.from({ length: count }, (_, at) => make(at));
    const tree = array(null, many(90, (a) => array(a, many(90, (b) => array(b, many(3, leaf))))));
    const view = new JsonView(() => root.replaceChildren(view.draw(tree)));
    view.update();
    const count = () => root.querySelectorAll(".leaf, .branch").length;
    const counts = [count()];
    root.querySelector(":scope > .branch > .children > button:last-child").click();
    counts.push(count());
    return [...counts, root.querySelector(":scope > .branch > .children > button:last-child").textContent];
  }, "json_view.js");
  expect(found.slice(0, 2)).toEqual([2_000, 4_000]);
  expect(found[2]).toMatch(/^\d+ more$/);
});
