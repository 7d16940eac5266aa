//! Reads Rust source as tokens and lists every path that it names outside of tests.
//!
//! Tokens, not text, so that comments, strings and doc examples never count; tokens, not a syntax tree, so that paths
//! inside of macro calls do. It knows no types: a path that reaches a module through a re-export counts as the
//! module that it is written with.

use std::iter::Peekable;
use std::vec::IntoIter;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// One path that the source names, such as `crate::policy::evaluate` or `std::fs::read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The segments, a leading `crate`, `self` or `super` resolved: what is ours starts with `crate`.
    pub(crate) path: Vec<String>,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The paths outside of tests; `async` and `.await` appear as the path `async`.
    pub(crate) mentions: Vec<Mention>,
    /// The modules outside of tests that lie in files of their own, from the crate root.
    pub(crate) modules: Vec<Vec<String>>,
    /// The same, of tests.
    pub(crate) test_modules: Vec<Vec<String>>,
}

/// Reads the source of the module that stands at `module` below the crate root, such as `["policy", "rules"]`.
pub(crate) fn scan(source: &str, module: &[&str]) -> Scan {
    let tokens: TokenStream = source.parse().expect("the compiler has read this file before");
    let mut scanner =
        Scanner { module: module.iter().map(ToString::to_string).collect(), scan: Scan::default() };
    scanner.tokens(tokens);
    scanner.scan
}

type Tokens = Peekable<IntoIter<TokenTree>>;

struct Scanner {
    module: Vec<String>,
    scan: Scan,
}

impl Scanner {
    fn tokens(&mut self, stream: TokenStream) {
        let mut tokens = stream.into_iter().collect::<Vec<_>>().into_iter().peekable();
        // Whether the token before this one ends an expression, a type or a method's dot: then `::` or a name
        // continues it and starts no path of its own.
        let mut ends = false;
        while let Some(token) = tokens.next() {
            let after_end = std::mem::take(&mut ends);
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let inner = take_punct(&mut tokens, '!');
                    let Some(TokenTree::Group(attribute)) = tokens.next() else { continue };
                    match (is_cfg_test(&attribute), inner) {
                        (true, true) => {
                            self.scan = Scan::default();
                            return;
                        }
                        (true, false) => {
                            if let Some(name) = skip_item(&mut tokens) {
                                let module = self.module.iter().cloned().chain([name]).collect();
                                self.scan.test_modules.push(module);
                            }
                        }
                        (false, _) => self.tokens(attribute.stream()),
                    }
                }
                TokenTree::Punct(punct) => {
                    let path_sep = punct.as_char() == ':' && take_punct(&mut tokens, ':');
                    ends = matches!(punct.as_char(), '.' | '>') || (path_sep && after_end);
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(_) => {}
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    match ident.to_string().as_str() {
                        "use" => self.use_tree(&mut tokens, &[]),
                        "async" | "await" => self.mention(vec!["async".to_owned()], line),
                        "mod" => self.module(&mut tokens),
                        name if !after_end => self.path(name.to_owned(), line, &mut tokens),
                        _ => {}
                    }
                }
            }
        }
    }

    /// `mod name;`, or `mod name { … }`: `self` and `super` mean something else inside.
    fn module(&mut self, tokens: &mut Tokens) {
        let Some(TokenTree::Ident(name)) = tokens.next() else { return };
        self.module.push(name.to_string());
        match tokens.next_if(|token| matches!(token, TokenTree::Group(_))) {
            Some(TokenTree::Group(body)) => self.tokens(body.stream()),
            _ => self.scan.modules.push(self.module.clone()),
        }
        self.module.pop();
    }

    /// A path in an expression, a type or a macro: two segments at least, as one alone names nothing outside.
    fn path(&mut self, first: String, line: usize, tokens: &mut Tokens) {
        let mut path = vec![first];
        while take_path_separator(tokens) {
            match tokens.peek() {
                Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
                _ => break,
            }
            tokens.next();
        }
        if path.len() > 1 {
            self.mention(path, line);
        }
    }

    /// One branch of a `use`, up to its `;`, `,` or the end of the group.
    fn use_tree(&mut self, tokens: &mut Tokens, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut line = 0;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => {
                    tokens.next();
                }
                TokenTree::Ident(ident) => {
                    line = ident.span().start().line;
                    // `use a::b::{self}` imports `a::b`.
                    if ident != "self" || path.is_empty() {
                        path.push(ident.to_string());
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    line = punct.span().start().line;
                    path.push("*".to_owned());
                }
                TokenTree::Punct(punct) if matches!(punct.as_char(), ';' | ',') => break,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let mut branches = group.stream().into_iter().collect::<Vec<_>>().into_iter().peekable();
                    while branches.peek().is_some() {
                        self.use_tree(&mut branches, &path);
                    }
                    take_punct(tokens, ';');
                    take_punct(tokens, ',');
                    return;
                }
                _ => {}
            }
        }
        if !path.is_empty() {
            self.mention(path, line);
        }
    }

    fn mention(&mut self, path: Vec<String>, line: usize) {
        let path = self.resolve(path);
        self.scan.mentions.push(Mention { path, line });
    }

    /// Turns `self` and `super` into the path from the crate root.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let rest = match path[0].as_str() {
            // `self::super::x` is nobody's habit; `self` alone is the module itself.
            "self" => &path[1..],
            "super" => &path[supers..],
            _ => return path,
        };
        let above = self.module.len().saturating_sub(supers);
        let mut resolved = vec!["crate".to_owned()];
        resolved.extend_from_slice(&self.module[..above]);
        resolved.extend_from_slice(rest);
        resolved
    }
}

/// `cfg(test)`, also as one of several conditions that must all hold.
fn is_cfg_test(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(conditions))) = (tokens.next(), tokens.next())
    else {
        return false;
    };
    let conditions = conditions.stream().to_string();
    name == "cfg" && (conditions == "test" || conditions.starts_with("all") && conditions.contains("test"))
}

/// Passes over one item, its other attributes included. A module in a file of its own gives its name.
fn skip_item(tokens: &mut Tokens) -> Option<String> {
    while take_punct(tokens, '#') {
        tokens.next();
    }
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return None,
            TokenTree::Ident(word) => words.push(word.to_string()),
            _ => {}
        }
    }
    let name = words.pop()?;
    (words.pop()? == "mod").then_some(name)
}

fn take_punct(tokens: &mut Tokens, wanted: char) -> bool {
    tokens.next_if(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)).is_some()
}

/// `::`, which arrives as two tokens; a single `:` belongs to a type annotation.
fn take_path_separator(tokens: &mut Tokens) -> bool {
    let joint = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint);
    tokens.next_if(joint).is_some() && take_punct(tokens, ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<String> {
        named_in(&["policy", "rules"], source)
    }

    fn named_in(module: &[&str], source: &str) -> Vec<String> {
        scan(source, module).mentions.iter().map(|mention| mention.path.join("::")).collect()
    }

    #[test]
    fn finds_every_branch_of_a_use() {
        assert_eq!(
            named("use crate::{json::{self, Reader}, webhook as w}; use std::fs;"),
            ["crate::json", "crate::json::Reader", "crate::webhook", "std::fs"]
        );
    }

    #[test]
    fn finds_a_glob() {
        assert_eq!(
            named("use crate::*; use tokio::sync::{mpsc::*, watch};"),
            ["crate::*", "tokio::sync::mpsc::*", "tokio::sync::watch"]
        );
    }

    #[test]
    fn finds_paths_in_expressions_types_and_macro_calls() {
        assert_eq!(
            named(
                "fn f(a: std::path::PathBuf) { ::tokio::spawn(x); println!(\"{}\", kube::Client::new()); }"
            ),
            ["std::path::PathBuf", "tokio::spawn", "kube::Client::new"]
        );
    }

    #[test]
    fn finds_paths_in_attributes() {
        assert_eq!(named("#[derive(serde::Deserialize)] struct A;"), ["serde::Deserialize"]);
    }

    #[test]
    fn finds_async_and_await() {
        assert_eq!(named("async fn f() { g().await }"), ["async", "async"]);
    }

    #[test]
    fn resolves_super_and_self_also_in_nested_modules() {
        assert_eq!(
            named("use super::finding; use super::super::webhook; use self::known;"),
            ["crate::policy::finding", "crate::webhook", "crate::policy::rules::known"]
        );
        assert_eq!(named("mod inner { use super::super::case; }"), ["crate::policy::case"]);
    }

    #[test]
    fn ignores_comments_doc_examples_and_strings() {
        assert!(
            named("//! use tokio::spawn;\n/* std::fs */ /// axum::Router\nconst A: &str = r#\"kube::Api\"#;")
                .is_empty()
        );
    }

    #[test]
    fn ignores_methods_and_what_follows_a_type_in_angle_brackets() {
        assert!(named("fn f() { a.collect::<Vec<_>>(); <A as B>::tokio(); <A>::kube::x(); }").is_empty());
    }

    #[test]
    fn ignores_items_for_tests() {
        let source = "use std::fmt;\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n    use tokio::spawn;\n}\n\
                      #[cfg(test)]\nuse std::{fs};\nuse std::io;\n";
        assert_eq!(named(source), ["std::fmt", "std::io"]);
    }

    #[test]
    fn ignores_a_file_that_is_for_tests_only() {
        let source = "//! Helpers.\n#![cfg(test)]\nuse tokio::spawn;\n";
        assert!(named(source).is_empty());
    }

    #[test]
    fn keeps_what_is_compiled_without_tests_too() {
        assert_eq!(named("#[cfg(not(test))]\nuse tokio::spawn;\n"), ["tokio::spawn"]);
    }

    #[test]
    fn lists_the_modules_in_files_of_their_own() {
        let source = "mod a;\npub(crate) mod b { mod c; }\n#[cfg(test)]\nmod tests;\n";
        let scan = scan(source, &["policy"]);
        assert_eq!(scan.modules, [vec!["policy", "a"], vec!["policy", "b", "c"]]);
        assert_eq!(scan.test_modules, [["policy", "tests"]]);
    }

    #[test]
    fn tells_the_line_of_each_mention() {
        let lines: Vec<_> =
            scan("\nuse std::{\n    fs,\n    env,\n};\n", &[]).mentions.iter().map(|m| m.line).collect();
        assert_eq!(lines, [3, 4]);
    }
}
