//! Which file of `src/` uses which, read from the sources: what `use` items and paths in code name, followed through
//! re-exports to the file that defines it. Tests inside the sources don't count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// The sources, by the module that each file is: `["http", "h1", "parse"]`.
#[derive(Debug)]
pub(crate) struct Sources {
    modules: BTreeMap<Vec<String>, Module>,
}

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    /// Paths that the file names outside its re-exports, as written.
    named: Vec<Vec<String>>,
    /// What other files may name here and is defined elsewhere: a name and its path as written.
    exports: Vec<(String, Vec<String>)>,
    /// Its modules that are compiled for tests alone.
    tests: Vec<String>,
}

impl Sources {
    /// Reads every file below `src`.
    pub(crate) fn read(src: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for file in files(src) {
            let inside = file.strip_prefix(src).unwrap().to_owned();
            let mut path: Vec<String> =
                inside.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if ["mod", "lib"].contains(&path.last().unwrap().as_str()) {
                path.pop();
            }
            modules.insert(path, Module::parse(inside, &fs::read_to_string(&file).unwrap()));
        }
        let below = |(path, module): (&Vec<String>, &Module)| {
            let below = |name: &String| [&path[..], std::slice::from_ref(name)].concat();
            module.tests.iter().map(below).collect::<Vec<_>>()
        };
        let tests: Vec<Vec<String>> = modules.iter().flat_map(below).collect();
        modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        Self { modules }
    }

    /// Each file with the files that it uses, itself left out.
    pub(crate) fn uses(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let used = |(module, source): (&'_ Vec<String>, &'_ Module)| -> BTreeSet<&Path> {
            let defined = source.named.iter().filter_map(|path| self.definition(module, path, 0));
            defined.filter(|file| *file != source.file).collect()
        };
        self.modules.iter().map(|entry| (&*entry.1.file, used(entry))).collect()
    }

    /// The file that defines what `path` names in `module`.
    fn definition(&self, module: &[String], path: &[String], depth: usize) -> Option<&Path> {
        assert!(depth < 32, "re-exports go round in a circle at {path:?}");
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (module.to_vec(), &path[1..]),
            "super" => (module[..module.len().checked_sub(1)?].to_vec(), &path[1..]),
            _ => (module.to_vec(), path),
        };
        while let [name, further @ ..] = rest {
            if name == "super" {
                at.pop();
                rest = further;
                continue;
            }
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                (at, rest) = (child, further);
                continue;
            }
            let exported = self.modules.get(&at)?.exports.iter().find(|(exported, _)| exported == name);
            if let Some((_, target)) = exported
                && !(at == module && target == path)
            {
                let target = [&target[..], further].concat();
                return self.definition(&at, &target, depth + 1);
            }
            break;
        }
        // A name of another crate, or of this file's own.
        let is_own = at == module && !["crate", "self", "super"].contains(&path[0].as_str());
        if is_own { None } else { self.modules.get(&at).map(|module| &*module.file) }
    }
}

impl Module {
    fn parse(file: PathBuf, source: &str) -> Self {
        let mut module = Self { file, ..Self::default() };
        module.visit_file(&syn::parse_file(source).unwrap());
        module
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) if is_test(&module.attrs) => self.tests.push(module.ident.to_string()),
            item => visit::visit_item(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_export = !matches!(item.vis, Visibility::Inherited);
        for (path, name) in leaves(&item.tree) {
            if is_export { self.exports.push((name, path)) } else { self.named.push(path) }
        }
    }

    /// `pub(super)` and its like are no use of anything.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if ["crate", "super"].contains(&&*segments[0]) {
            self.named.push(segments);
        }
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is_cfg_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    };
    attributes.iter().any(is_cfg_test)
}

/// The paths of a tree like `a::{b, c::{self, D as E}}`, each with the name that it gets.
fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        UseTree::Path(path) => {
            let prefix = path.ident.to_string();
            let below = leaves(&path.tree).into_iter().map(|(mut path, mut name)| {
                if name == "self" {
                    path.clear();
                    name.clone_from(&prefix);
                }
                path.insert(0, prefix.clone());
                (path, name)
            });
            below.collect()
        }
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(name) => vec![(vec![name.ident.to_string()], name.rename.to_string())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => vec![(Vec::new(), "*".to_owned())],
    }
}

/// The files below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn groups_are_read_to_their_leaves() {
    let path = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let expected = [
        (path("crate::a::b"), "b"),
        (path("crate::a::c"), "c"),
        (path("crate::a::c::D"), "E"),
        (path("crate::f"), "f"),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(path, name)| (path, name.to_owned())).collect();
    let item: ItemUse = syn::parse_str("use crate::{a::{b, c::{self, D as E}}, f};").unwrap();
    assert_eq!(leaves(&item.tree), expected);
}
