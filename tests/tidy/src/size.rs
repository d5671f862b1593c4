//! Files that fit in a head, functions that fit on a screen.

use crate::{Finding, Language, SourceFile};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Longest file, in lines.
pub const FILE_LINES: usize = 800;
/// Longest function, in lines, from its `fn` to its closing brace.
pub const FUNCTION_LINES: usize = 70;

/// Files past the wall of [`FILE_LINES`].
pub fn long_files(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|f| is_code(f))
        .filter_map(|f| {
            let lines = f.text.lines().count();
            (lines > FILE_LINES).then(|| {
                f.finding(
                    0,
                    format!("{lines} lines, the wall is {FILE_LINES}: split it by idea"),
                )
            })
        })
        .collect()
}

/// Functions longer than [`FUNCTION_LINES`], in Rust, Python and C.
pub fn long_functions(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|f| f.text.lines().count() > FUNCTION_LINES)
    {
        let functions = match file.language {
            Language::Rust => rust_functions(file),
            Language::Python => python_functions(&file.text),
            Language::C => c_functions(&file.text),
            Language::Toml | Language::Text => continue,
        };
        for f in functions.iter().filter(|f| f.lines > FUNCTION_LINES) {
            findings.push(file.finding(
                f.line,
                format!(
                    "function `{}` has {} lines, the limit is {FUNCTION_LINES}",
                    f.name, f.lines
                ),
            ));
        }
    }
    findings
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn is_code(file: &SourceFile) -> bool {
    let ending = file.path.rsplit('.').next().unwrap_or("");
    matches!(
        ending,
        "rs" | "py" | "pyi" | "c" | "h" | "js" | "ts" | "css" | "html" | "sh"
    )
}

fn rust_functions(file: &SourceFile) -> Vec<Function> {
    struct Collector(Vec<Function>);
    impl Collector {
        fn add(&mut self, sig: &syn::Signature, block: &syn::Block) {
            let (first, last) = (sig.span().start().line, block.span().end().line);
            self.0.push(Function {
                name: sig.ident.to_string(),
                line: first,
                lines: last + 1 - first,
            });
        }
    }
    impl<'ast> Visit<'ast> for Collector {
        fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
            self.add(&f.sig, &f.block);
            visit::visit_item_fn(self, f);
        }
        fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
            self.add(&f.sig, &f.block);
            visit::visit_impl_item_fn(self, f);
        }
        fn visit_trait_item_fn(&mut self, f: &'ast syn::TraitItemFn) {
            if let Some(block) = &f.default {
                self.add(&f.sig, block);
            }
            visit::visit_trait_item_fn(self, f);
        }
    }
    let mut collector = Collector(Vec::new());
    collector.visit_file(&file.syntax().expect("a Rust file"));
    collector.0
}

/// A `def` reaches to the last line that is indented deeper than the `def` itself.
fn python_functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(rest) = code
            .strip_prefix("async def ")
            .or_else(|| code.strip_prefix("def "))
        else {
            continue;
        };
        let depth = line.len() - code.len();
        let mut last = at;
        for (next, line) in lines.iter().enumerate().skip(at + 1) {
            let code = line.trim_start();
            // A closing bracket at the depth of the `def` still belongs to its signature.
            let inside = line.len() - code.len() > depth || code.starts_with(')');
            if !code.is_empty() && !inside {
                break;
            }
            if !code.is_empty() {
                last = next;
            }
        }
        functions.push(Function {
            name: rest.split('(').next().unwrap_or(rest).to_string(),
            line: at + 1,
            lines: last + 1 - at,
        });
    }
    functions
}

/// A body opens with a brace that ends a line begun at column 0 and closes with a brace at column
/// 0; initialisers and type declarations have no parenthesis before theirs.
fn c_functions(text: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut head: Option<(usize, String)> = None;
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        if let Some((first, name)) = &open {
            if line.starts_with('}') {
                functions.push(Function {
                    name: name.clone(),
                    line: first + 1,
                    lines: at + 1 - first,
                });
                open = None;
            }
            continue;
        }
        let starts = line
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if starts && line.contains('(') {
            let before = line.split('(').next().unwrap_or("");
            let name = before
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            head = Some((at, name.unwrap_or("").to_string()));
        }
        if line.trim_end().ends_with('{') {
            open = head.take();
        } else if line.trim_end().ends_with(';') {
            head = None;
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        long_functions(&[SourceFile::new(path, text)])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_file_one_line_too_long_is_found() {
        let long = "//\n".repeat(FILE_LINES + 1);
        let fits = "//\n".repeat(FILE_LINES);
        assert_eq!(long_files(&[SourceFile::new("a.rs", &long)]).len(), 1);
        assert_eq!(long_files(&[SourceFile::new("a.rs", &fits)]).len(), 0);
    }

    #[test]
    fn a_long_rust_function_is_found_wherever_it_stands() {
        let body = "    x();\n".repeat(FUNCTION_LINES - 1);
        for text in [
            format!("fn long() {{\n{body}}}\n"),
            format!("struct S; impl S {{ fn long() {{\n{body}}} }}\n"),
            format!("trait T {{ fn long() {{\n{body}}} }}\n"),
            format!("mod m {{ fn outer() {{ fn long() {{\n{body}}} }} }}\n"),
        ] {
            let found = messages("a.rs", &text);
            assert!(found.iter().any(|m| m.contains("`long`")), "{found:?}");
        }
        let fits = "    x();\n".repeat(FUNCTION_LINES - 2);
        assert!(messages("a.rs", &format!("fn fits() {{\n{fits}}}\n")).is_empty());
    }

    #[test]
    fn a_long_python_function_is_found() {
        let body = "        x()\n".repeat(FUNCTION_LINES);
        let text = format!("class C:\n    def long(\n        self,\n    ):\n{body}\n    y = 1\n");
        assert_eq!(messages("a.py", &text).len(), 1);
        let fits = "    x()\n".repeat(FUNCTION_LINES - 1);
        assert!(messages("a.py", &format!("def fits():\n{fits}\nz = 1\n")).is_empty());
    }

    #[test]
    fn a_long_c_function_is_found_and_a_long_table_is_not() {
        let body = "\tx();\n".repeat(FUNCTION_LINES);
        for head in [
            "int main(void) {\n",
            "static int f(int a)\n{\n",
            "int f(int a,\n  int b)\n{\n",
        ] {
            assert_eq!(
                messages("a.c", &format!("{head}{body}}}\n")).len(),
                1,
                "{head}"
            );
        }
        let table = format!("int f(void);\nint table[] = {{\n{body}}};\n");
        assert!(messages("a.c", &table).is_empty());
    }
}
