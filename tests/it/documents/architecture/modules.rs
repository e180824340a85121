//! The modules of a package and what they import, by its source text, as `syn` parses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::prelude::DiGraphMap;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// A module's path from the root of its package: empty for the root itself.
type ModulePath = Vec<String>;

/// One package: its modules, without those that only tests compile.
pub struct Crate {
    source: PathBuf,
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    /// The names that a `use` brings into the module, and the paths they stand for; a glob under the name `*`.
    names: Vec<(String, ModulePath)>,
    /// Every path that the module's text names, as it is written there.
    paths: BTreeSet<ModulePath>,
}

/// One import: from a module to another, and the name that is imported.
pub struct Import {
    from: ModulePath,
    to: ModulePath,
    name: String,
}

impl Crate {
    /// Reads the package whose root is `file`, and every file that its `mod` items lead to.
    pub fn read(file: &Path) -> Self {
        let mut package = Self { source: file.parent().unwrap().to_owned(), modules: BTreeMap::new() };
        package.read_file(file, file.parent().unwrap(), Vec::new());
        package
    }

    /// The package's folder.
    pub fn name(&self) -> String {
        self.source.display().to_string()
    }

    /// How many modules were read.
    pub fn module_count(&self) -> usize {
        self.modules.len()
    }

    fn read_file(&mut self, file: &Path, folder: &Path, path: ModulePath) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut children = Vec::new();
        for item in &parsed.items {
            Reader { module: &mut module, children: &mut children }.visit_item(item);
        }
        for child in children {
            let below = folder.join(&child);
            let [beside, within] = [folder.join(format!("{child}.rs")), below.join("mod.rs")];
            let file = if beside.exists() { beside } else { within };
            self.read_file(&file, &below, path.iter().cloned().chain([child]).collect());
        }
        self.modules.insert(path, module);
    }

    /// Where `path`, written in module `from`, leads: the module that declares what it names, with re-exports followed. `depth` counts
    /// the re-exports; beyond the first, a name of another package counts as declared where it is re-exported.
    fn resolve(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from[..from.len().checked_sub(1)?].to_vec(), &path[1..]),
            first if depth > 0 || self.modules.contains_key(&child(from, first)) => (from.clone(), path),
            _ => return None,
        };
        while let Some(name) = rest.first() {
            if name == "super" {
                at.pop()?;
            } else if self.modules.contains_key(&child(&at, name)) {
                at = child(&at, name);
            } else {
                return Some(self.declaring(&at, name, depth).unwrap_or(at));
            }
            rest = &rest[1..];
        }
        Some(at)
    }

    /// The module that declares `name`, if `at` only re-exports it.
    fn declaring(&self, at: &ModulePath, name: &str, depth: usize) -> Option<ModulePath> {
        if depth > 8 {
            return None;
        }
        let module = &self.modules[at];
        let (_, path) = module.names.iter().find(|(known, _)| known == name)?;
        self.resolve(at, path, depth + 1)
    }

    /// Every import of one module by another, where neither lies within the other.
    pub fn imports(&self) -> Vec<Import> {
        let mut found: BTreeMap<(&ModulePath, ModulePath), String> = BTreeMap::new();
        for (from, module) in &self.modules {
            for path in &module.paths {
                let Some(to) = self.resolve(from, path, 0) else { continue };
                if !to.starts_with(from) && !from.starts_with(&to) {
                    found.entry((from, to)).or_insert_with(|| path.join("::"));
                }
            }
        }
        found.into_iter().map(|((from, to), name)| Import { from: from.clone(), to, name }).collect()
    }

    fn file(&self, module: &ModulePath) -> String {
        self.modules[module].file.strip_prefix(&self.source).unwrap().display().to_string()
    }
}

fn child(path: &ModulePath, name: &str) -> ModulePath {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// Every circle of imports, as text: its files, and which imports which by what name.
pub fn circles(package: &Crate) -> Vec<String> {
    let imports = package.imports();
    let index: BTreeMap<&ModulePath, usize> = package.modules.keys().zip(0..).collect();
    let graph: DiGraphMap<usize, ()> = imports.iter().map(|import| (index[&import.from], index[&import.to])).collect();
    let components = tarjan_scc(&graph).into_iter().filter(|component| component.len() > 1);
    let within = |component: &[usize], import: &&Import| {
        component.contains(&index[&import.from]) && component.contains(&index[&import.to])
    };
    components
        .map(|component| {
            let ties: Vec<String> = imports
                .iter()
                .filter(|import| within(&component, import))
                .map(|import| format!("  {} -> {} ({})", package.file(&import.from), package.file(&import.to), import.name))
                .collect();
            format!("{} modules of {}:\n{}", component.len(), package.name(), ties.join("\n"))
        })
        .collect()
}

/// Collects what one file declares and names.
struct Reader<'a> {
    module: &'a mut Module,
    children: &'a mut Vec<String>,
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    let is_cfg_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(is_cfg_test)
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test_only(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        match &item.content {
            Some((_, items)) => items.iter().for_each(|item| self.visit_item(item)),
            None => self.children.push(item.ident.to_string()),
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        let mut named = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut named);
        self.module.paths.extend(named.iter().map(|(_, path)| path.clone()));
        self.module.names.extend(named);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: ModulePath = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if ["crate", "super"].contains(&segments[0].as_str()) {
            self.module.paths.insert(segments);
        }
        visit::visit_path(self, path);
    }

    /// A macro's arguments are no syntax tree; the paths in them that begin with `crate` are.
    fn visit_macro(&mut self, called: &Macro) {
        let text = called.tokens.to_string().replace(' ', "");
        for (at, _) in text.match_indices("crate::") {
            let path = text[at..].split(|end: char| !end.is_alphanumeric() && !"_:".contains(end)).next().unwrap_or_default();
            self.module.paths.insert(path.split("::").map(str::to_owned).filter(|name| !name.is_empty()).collect());
        }
        visit::visit_macro(self, called);
    }
}

fn flatten(tree: &UseTree, prefix: &mut ModulePath, found: &mut Vec<(String, ModulePath)>) {
    let end = |prefix: &ModulePath, name: String| prefix.iter().cloned().chain([name]).collect::<ModulePath>();
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, found)),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => found.push((name.ident.to_string(), end(prefix, name.ident.to_string()))),
        UseTree::Rename(rename) => found.push((rename.rename.to_string(), end(prefix, rename.ident.to_string()))),
        UseTree::Glob(_) => found.push(("*".to_owned(), prefix.clone())),
    }
}
