//! Names that say nothing, marks of unfinished work, paths of one machine, tests that sleep.

use crate::{Finding, Language, SourceFile};
use syn::visit::{self, Visit};

/// Words that name no idea: what does it manage, whom does it help, useful for what?
pub const EMPTY_WORDS: [&str; 6] = ["manager", "managers", "helper", "helpers", "util", "utils"];

/// Types, modules and files named with one of [`EMPTY_WORDS`].
pub fn empty_names(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for part in file.path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            if let Some(word) = empty_word(stem) {
                findings.push(file.finding(0, format!("`{word}` in a file name says nothing")));
            }
        }
        let text = file.text.to_lowercase();
        if !EMPTY_WORDS.iter().any(|word| text.contains(word)) {
            continue; // most files: parsing is what costs
        }
        let names = match file.language {
            Language::Rust => rust_names(file),
            Language::Python => python_classes(&file.text),
            _ => continue,
        };
        for (name, line) in names {
            if let Some(word) = empty_word(&name) {
                findings.push(file.finding(
                    line,
                    format!("`{word}` in the name `{name}` says nothing: name what it does"),
                ));
            }
        }
    }
    findings
}

/// Marks of unfinished work: placeholders, skipped tests, notes to oneself, the two sides of a merge.
pub fn unfinished_work(files: &[SourceFile]) -> Vec<Finding> {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("X", "XX"),
        concat!("pytest.mark.", "skip"),
        concat!("pytest.mark.", "xfail"),
    ];
    let sides = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];
    matching_lines(files, |line| {
        let mark = marks
            .iter()
            .find(|mark| has_word(line, mark))
            .or_else(|| sides.iter().find(|side| line.starts_with(*side)))?;
        Some(format!("`{mark}`: finish it, or write it down as an issue"))
    })
}

/// Paths that exist on one machine only. `root` is where the tree lies here.
pub fn machine_paths(files: &[SourceFile], root: &str) -> Vec<Finding> {
    let homes = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("C:\\Us", "ers\\"),
        concat!("/wo", "rk/"),
        concat!("/tm", "p/wt/"),
    ];
    matching_lines(files, |line| {
        let home = homes
            .iter()
            .copied()
            .chain((root.len() > 4).then_some(root))
            .find(|home| starts_a_path(line, home))?;
        Some(format!("`{home}` exists on one machine only"))
    })
}

/// Tests that sleep instead of waiting for what they wait for.
pub fn sleeping_tests(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        match file.language {
            Language::Rust if file.text.contains("sleep") => {
                let mut sleeps = Sleeps::new(file.is_test());
                sleeps.visit_file(&file.syntax().expect("a Rust file"));
                findings.extend(sleeps.lines.iter().map(|l| file.finding(*l, SLEEPS)));
            }
            // What measures time has to let it pass.
            Language::Python | Language::C
                if file.is_test() && !file.path.starts_with("tests/bench/") =>
            {
                let one = std::slice::from_ref(file);
                findings.extend(matching_lines(one, |line| {
                    let calls = ["time.sleep(", "usleep(", "nanosleep(", "sleep("];
                    let hit = calls
                        .iter()
                        .any(|call| has_word(line, call) && !line.contains("asyncio.sleep(0)"));
                    hit.then(|| SLEEPS.to_string())
                }));
            }
            _ => {}
        }
    }
    findings
}

const SLEEPS: &str = "a test that sleeps is slow and still flaky: wait for the event itself";

fn empty_word(name: &str) -> Option<&'static str> {
    words_of(name)
        .iter()
        .find_map(|word| EMPTY_WORDS.iter().find(|empty| *empty == word).copied())
}

/// `HTTPConnManager`, `conn_manager` and `conn-manager` into lower-case words.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words
                .last_mut()
                .expect("never empty")
                .extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    words
}

fn rust_names(file: &SourceFile) -> Vec<(String, usize)> {
    struct Names(Vec<(String, usize)>);
    impl Names {
        fn add(&mut self, ident: &proc_macro2::Ident) {
            self.0.push((ident.to_string(), ident.span().start().line));
        }
    }
    impl<'ast> Visit<'ast> for Names {
        fn visit_item(&mut self, item: &'ast syn::Item) {
            match item {
                syn::Item::Struct(i) => self.add(&i.ident),
                syn::Item::Enum(i) => self.add(&i.ident),
                syn::Item::Union(i) => self.add(&i.ident),
                syn::Item::Trait(i) => self.add(&i.ident),
                syn::Item::Type(i) => self.add(&i.ident),
                syn::Item::Mod(i) => self.add(&i.ident),
                _ => {}
            }
            visit::visit_item(self, item);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_file(&file.syntax().expect("a Rust file"));
    names.0
}

fn python_classes(text: &str) -> Vec<(String, usize)> {
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let rest = line.trim_start().strip_prefix("class ")?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            Some((rest[..end].to_string(), at + 1))
        })
        .collect()
}

/// Lines of every source, script and document for which `judge` has something to say. Data files
/// and the standard's statement tables are read by their own tests.
fn matching_lines(files: &[SourceFile], judge: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| !f.path.ends_with("Cargo.lock")) {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(message) = judge(line) {
                findings.push(file.finding(at + 1, message));
            }
        }
    }
    findings
}

/// `word` in `line` with no letter or digit touching a letter or digit at its ends.
fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = word.starts_with(is_word) && before.is_some_and(is_word);
        let ends = word.ends_with(is_word) && after.is_some_and(is_word);
        !starts && !ends
    })
}

/// `home` in `line` where a path begins, not in the middle of a longer one or of a topic.
fn starts_a_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-+#}>~$".contains(c))
    })
}

/// Lines of `thread::sleep` and its kin; in a crate's own files only inside `#[cfg(test)]`.
struct Sleeps {
    in_test: bool,
    lines: Vec<usize>,
}

impl Sleeps {
    fn new(in_test: bool) -> Self {
        Self {
            in_test,
            lines: Vec::new(),
        }
    }
}

impl<'ast> Visit<'ast> for Sleeps {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let before = self.in_test;
        self.in_test |= item.attrs.iter().any(is_cfg_test);
        visit::visit_item_mod(self, item);
        self.in_test = before;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
            && self.in_test
            && (last.ident == "sleep" || last.ident == "sleep_ms")
        {
            self.lines.push(last.ident.span().start().line);
        }
        visit::visit_expr_call(self, call);
    }
}

fn is_cfg_test(attr: &syn::Attribute) -> bool {
    attr.path().is_ident("cfg")
        && attr
            .parse_args::<syn::Path>()
            .is_ok_and(|p| p.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &str, text: &str) -> [SourceFile; 1] {
        [SourceFile::new(path, text)]
    }

    #[test]
    fn empty_names_are_found_as_whole_words() {
        let bad = [
            ("a.rs", "struct ConnectionManager;"),
            ("a.rs", "mod io_utils { }"),
            ("a.rs", "trait HelperTrait {}"),
            ("a.py", "class SocketHelper:\n    pass"),
            ("core/client/src/util.rs", ""),
            ("py/python/ternmq/helpers/a.py", ""),
        ];
        for (path, text) in bad {
            assert_eq!(empty_names(&sample(path, text)).len(), 1, "{path} {text}");
        }
        let good = "struct Utility; struct Managed; enum UtilityKind {} // a Manager in prose";
        assert_eq!(empty_names(&sample("a.rs", good)).len(), 0);
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        for bad in [
            concat!("    to", "do!()"),
            concat!("    unimple", "mented!(\"x\")"),
            concat!("#[ig", "nore = \"slow\"]"),
            concat!("// FIX", "ME: later"),
            concat!("# TO", "DO later"),
            concat!("@pytest.mark.", "skip(reason='x')"),
            concat!("<<<<", "<<< HEAD"),
            concat!(">>>>", ">>> 1234567 (A change)"),
        ] {
            assert_eq!(unfinished_work(&sample("a.txt", bad)).len(), 1, "{bad}");
        }
        let good = concat!("mkstemp(\"name-XX", "XX", "XX\"); TO", "DOS");
        assert_eq!(unfinished_work(&sample("a.c", good)).len(), 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let at = "/some/where";
        for bad in [
            concat!("x = \"/ho", "me/me/x\""),
            concat!("cd /ro", "ot/x"),
            "path = /some/where/core",
        ] {
            assert_eq!(machine_paths(&sample("a.sh", bad), at).len(), 1, "{bad}");
        }
        let good = "topic = \"at/home/kitchen\" # sites/desk/+ and $PREFIX/home/x";
        assert_eq!(machine_paths(&sample("a.sh", good), at).len(), 0);
    }

    #[test]
    fn sleeping_tests_are_found() {
        let sleep = "std::thread::sleep(std::time::Duration::from_millis(9));";
        let in_suite = format!("fn f() {{ {sleep} }}");
        assert_eq!(
            sleeping_tests(&sample("tests/sim/src/a.rs", &in_suite)).len(),
            1
        );
        assert_eq!(
            sleeping_tests(&sample("core/a/tests/a.rs", &in_suite)).len(),
            1
        );
        assert_eq!(
            sleeping_tests(&sample("core/a/src/a.rs", &in_suite)).len(),
            0
        );
        let in_module = format!("#[cfg(test)] mod tests {{ fn f() {{ {sleep} }} }}");
        assert_eq!(
            sleeping_tests(&sample("core/a/src/a.rs", &in_module)).len(),
            1
        );
        for (path, bad) in [
            ("py/tests/test_a.py", "    time.sleep(0.1)"),
            ("py/tests/test_a.py", "    await asyncio.sleep(1)"),
            ("tests/shims/c/shim.c", "    usleep(1000);"),
        ] {
            assert_eq!(sleeping_tests(&sample(path, bad)).len(), 1, "{bad}");
        }
        let turn = "    await asyncio.sleep(0)";
        assert_eq!(sleeping_tests(&sample("py/tests/test_a.py", turn)).len(), 0);
    }
}
